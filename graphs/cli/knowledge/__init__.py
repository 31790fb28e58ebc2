"""What ``python -m graphs.knowledge`` can do, a module a command, each with ``execute(parser, arguments)``."""
