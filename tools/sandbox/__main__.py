"""Starts the fork server: ``python -m tools.sandbox --channel FD --level A``."""

from __future__ import annotations

import gc


def main() -> None:
    """Load torch and serve."""
    # Loaded modules are never garbage; collecting while they load takes a tenth of the start.
    gc.disable()
    from tools.sandbox import fork_server

    fork_server.main()


if __name__ == "__main__":
    main()
