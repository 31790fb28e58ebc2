"""The roles, one per module, with frozen requests and results; ``builtin`` plays them without a language model."""
