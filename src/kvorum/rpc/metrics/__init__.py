"""What `/metrics` shows: figures of calls and of the process, and the text they are written in."""
