"""Design ideas, the attribute tree that orders them, and where they come from."""
