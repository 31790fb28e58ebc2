"""The command line: arguments, commands, terminal output, doctor and plan."""
