"""Runs jobs in separate processes with limits, forked from a warm server."""
