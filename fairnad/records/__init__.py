"""What a search has found: candidates, their records, and what follows from them."""
