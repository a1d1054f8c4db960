"""Exports of the audit log to other systems: from a durable cursor, at least once, never able to hold up a commit.

The exporter is a process of its own that only reads the public log directory; a receiver that hangs, refuses or is
away delays its own target and nothing else. Payloads (SQL literals, names, addresses) are not in that directory and
so cannot be exported. Every message carries the log's origin, the record's index and its leaf hash: with the first two
anyone can ask for the proof, by the third a receiver recognises a record it was sent twice.

``formats/`` are pure functions from a record to a message, ``sinks/`` deliver messages, ``pump`` moves the cursor.
Not handled: turning a receiver's answer into anything but "taken", "refused" or "later".
"""
