"""Prompt packs, one folder per domain, and their loader."""
