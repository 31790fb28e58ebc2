"""Starts the fork server: ``python -m tools.sandbox --channel FD --level A``."""

from __future__ import annotations

import gc


def main() -> None:
    """Load and serve."""
    # What is loaded stays: to look through it for garbage at every step is a tenth of the time it takes.
    gc.disable()
    from tools.sandbox import fork_server

    fork_server.main()


if __name__ == "__main__":
    main()
