"""The LangGraph graphs, and the commands that run them."""
