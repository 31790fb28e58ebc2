"""Parsers from the text of a reply to its contents. Pure; they accept any text."""
