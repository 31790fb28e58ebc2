"""Questions about ideas and runs, as a LangGraph graph: understand → retrieve → answer.

``python -m graphs.chat`` asks it. Runs are only read. The chat writes the conversation of a named thread, and the index
of the ideas if it is missing.
"""
