"""How well the built-in paper filter agrees with a person; see README.md beside this file."""
