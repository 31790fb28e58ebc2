"""Questions about ideas and runs: understand → retrieve → answer, as a LangGraph graph whose steps are fixed.

``python -m graphs.chat`` asks it; :mod:`graphs.served` holds it for a LangGraph server. Everything here only reads:
runs are opened as ``python -m graphs.search show`` opens them, and the idea store for reading alone. What is written is
the conversation itself, where a thread is named.
"""
