"""The method's decisions: who is mutated next, by which idea, in which order."""
