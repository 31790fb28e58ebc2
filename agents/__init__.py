"""One role a module: frozen requests in, frozen values out; ``builtin`` plays them without a language model."""
