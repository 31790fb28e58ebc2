"""Runs jobs: processes of their own, forked from a warm server, held by limits."""
