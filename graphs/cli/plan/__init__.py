"""What a search will do and cost, before it does."""
