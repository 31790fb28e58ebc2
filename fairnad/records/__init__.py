"""Results of a search: candidates, records, and statistics."""
