"""What a project leaves on the machine, and its destruction once the project is closed."""
