"""The candidate graph (paper Algorithm 1)."""
