"""What must last: the history (SQLite), the idea index (Chroma), the run folder."""
