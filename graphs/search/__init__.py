"""The search as a LangGraph graph; ``python -m graphs.search`` runs it."""
