"""The plan of a search and its maximum cost (``--dry-run``)."""
