"""Reads papers from files, lists, CVF year pages and arXiv ids, and extracts the method section."""
