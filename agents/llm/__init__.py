"""The client of OpenAI-compatible endpoints. Only this package imports a provider SDK."""
