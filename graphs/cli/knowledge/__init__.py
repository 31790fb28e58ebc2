"""The commands of ``python -m graphs.knowledge``."""
