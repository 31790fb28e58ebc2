"""What every command does with an error that was to be expected: one line, and an exit status that says which."""

from __future__ import annotations

import sys
from collections.abc import Callable

from fairnad.errors import FairnadError, UserError


def report_errors(work: Callable[[], int]) -> int:
    """The exit status of ``work``, with expected errors told in one line on stderr."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FairnadError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
