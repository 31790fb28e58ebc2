"""What a person runs: one LangGraph graph a module, thin nodes, pure routes."""
