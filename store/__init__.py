"""Persistent storage: the history (SQLite), the idea index (Chroma), the run folder."""
