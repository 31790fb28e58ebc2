"""Prompt packs, one folder a domain, and their loader."""
