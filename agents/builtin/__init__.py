"""The roles played by source transformations (libcst); sources are rewritten here and never run."""
