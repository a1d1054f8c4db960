"""What the auditor's pages show. The index finds; the log itself answers: a record is read and proven from it."""
