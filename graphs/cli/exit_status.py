"""Reports expected errors of all commands: one line on stderr, and an exit status."""

from __future__ import annotations

import errno
import resource
import signal
import sys
from collections.abc import Callable

from fairnad.errors import FairnadError, LimitError, UserError
from fairnad.open_files import shortage_text
from prompts.paths import ensure_home
from tools.output import open_missing_streams, until_reader_leaves

LIMIT_REACHED = 3
"""The exit status of a run that reached a limit on money, tokens or hours."""


def report_errors(work: Callable[[], int]) -> int:
    """Run ``work`` and return its exit status, 0 after a closed output; expected errors are one line on stderr."""
    open_missing_streams()
    ensure_home()
    return until_reader_leaves(lambda: _report(work))


def _report(work: Callable[[], int]) -> int:
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
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print(f"error: {shortage_text(resource.getrlimit(resource.RLIMIT_NOFILE)[0])}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # A search that is under way answers Ctrl-C itself; before it and elsewhere there is nothing to wait for.
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
