"""What every command does with an error that was to be expected: one line, and an exit status that says which."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from fairnad.errors import FairnadError, LimitError, UserError

LIMIT_REACHED = 3
"""The exit status of a run that a limit on money, tokens or hours has stopped."""


def report_errors(work: Callable[[], int]) -> int:
    """The exit status of ``work``, with expected errors told in one line on stderr."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except LimitError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return LIMIT_REACHED
    except FairnadError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # A search that is under way answers Ctrl-C itself; before it and elsewhere there is nothing to wait for.
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
