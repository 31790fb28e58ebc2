from __future__ import annotations

import inspect
import re

from fairnad import errors


def drawn_tree() -> dict[str, str]:
    """Each error of the module's drawing with the one it hangs from."""
    parents: dict[str, str] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r" {4}([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if drawn is not None:
            depth = len(drawn[1]) // 4
            branch[depth:] = [drawn[2]]
            parents[drawn[2]] = branch[depth - 1] if depth else "RuntimeError"
    return parents


def test_the_drawing_shows_every_error_where_it_hangs() -> None:
    assert drawn_tree() == {
        name: error.__base__.__name__ for name, error in inspect.getmembers(errors, inspect.isclass)
    }
