"""The decisions of the search: parents, ideas, order."""
