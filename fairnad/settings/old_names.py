"""Old names of settings, and their successors.

Configuration files, environment variables, flags and clients of a server may still use an old name. Its value moves to
the new setting. A former setting that is now fixed is accepted only with its fixed value. Stored
settings of an old run are never refused, so that the run opens and resumes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationInfo

from fairnad.roles import ROLES, templates_of

STORED: Mapping[str, bool] = {"is_stored": True}
"""The validation context for settings that a run has stored."""


class _Replaced(NamedTuple):
    """``values``: the new setting and its value for each old value; ``None`` where nothing needs to be set."""

    values: Mapping[object, tuple[str, object] | None]
    advice: str


def _fix(value: object, advice: str) -> _Replaced:
    return _Replaced({value: None}, advice)


def _ablation(part: str, on: object, off: object) -> _Replaced:
    return _Replaced({on: None, off: ("search.ablate", part)}, f"search.ablate {part} switches this part off")


_MOVED: Mapping[str, str] = {
    **{f"{name}_prompt": f"prompts.{name}" for name in templates_of("search")},
    **{f"agents.{name}": f"agents.players.{name}" for name in ROLES},
    "search.max_barren_draws": "search.max_stalled_draws",
    "agents.mutation_format": "agents.edit_format",
}

_REPLACED: Mapping[str, _Replaced] = {
    "search.max_debugs": _ablation("debug", 2, 0),
    "search.max_downscales": _ablation("downscale", 4, 0),
    "search.judge_structure": _ablation("judge", True, False),
    "search.mutation_target": _ablation("target", True, False),
    "agents.lessons": _ablation("lessons", True, False),
    "agents.library": _ablation("modules", 4, 0),
    "agents.repair": _ablation("resample", "learned", "always"),
    "search.single_use_above": _fix(1.5, "it is the paper's value"),
    "search.upscale_below": _fix(0.9, "it is the paper's value"),
    "search.promote_one_in": _fix(4, "write search.promote as RECIPE/N to promote one candidate in N"),
    "chat.limit": _fix(8, "a question may ask for another number of results"),
    "chat.turns": _fix(4, "a question may refer to the last four"),
    "lab.streams_per_gpu": _fix(2, "lab.slots sets the number of trainings on all GPUs"),
    "lab.output": _fix(1e6, "a job may print 1 MB"),
    "lab.allow_weak_isolation": _fix(False, "name the level that you accept: lab.isolation D or E"),
    "splits": _fix("", "put the split files into the folder nasbench201-splits of the data folder"),
    "unstructured": _Replaced({False: None, True: ("tree", "none")}, "set tree to none"),
    "code_characters": _fix(24_000, "a longer source is shown in parts"),
    "method_characters": _fix(24_000, "a longer text is cut"),
    "papers_at_once": _fix(16, "llm.concurrency sets the number of parallel calls"),
    "request_seconds": _fix(3.0, "arXiv asks for this pause"),
    "arxiv": _fix("https://export.arxiv.org/api/query", "it is the address of arXiv"),
}

OLD_NAMES = (*_MOVED, *_REPLACED)
"""Every old name, with its section."""


def update_names(given: Any, info: ValidationInfo) -> Any:
    """The settings with current names.

    Raises:
        ValueError: a setting is fixed now and another value is given; the message says what to do instead.
    """
    if not isinstance(given, Mapping):
        return given
    settings = {name: dict(value) if isinstance(value, Mapping) else value for name, value in given.items()}
    for name in OLD_NAMES:
        section, _, leaf = name.rpartition(".")
        place = settings.get(section) if section else settings
        if not isinstance(place, dict) or leaf not in place:
            continue
        value = place.pop(leaf)
        if section and not place:
            del settings[section]
        if name in _MOVED:
            _put(settings, _MOVED[name], value)
            continue
        successor = _find_successor(settings, name, value)
        if successor is not None:
            _put(settings, *successor)
        elif info.context != STORED and not any(_is_same(value, one) for one in _REPLACED[name].values):
            fixed = next(iter(_REPLACED[name].values))
            raise ValueError(f"{name} is fixed at {_format(fixed)} now, found {value!r}: {_REPLACED[name].advice}")
    return settings


def _find_successor(settings: Mapping[str, Any], name: str, value: object) -> tuple[str, object] | None:
    search = settings.get("search")
    promoted = search.get("promote") if isinstance(search, dict) else None
    if name == "search.promote_one_in" and promoted and not _is_same(value, 4):
        return "search.promote", f"{promoted}/{value}"
    return next((new for old, new in _REPLACED[name].values.items() if _is_same(value, old)), None)


def _put(settings: dict[str, Any], name: str, value: object) -> None:
    """Set a new name; an existing value takes precedence, and lists are extended."""
    *sections, leaf = name.split(".")
    place: Any = settings
    for section in sections:
        place = place.setdefault(section, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict) or value in ("", None):
        return
    if name == "search.ablate":
        given = place.get(leaf, ())
        place[leaf] = [*([given] if isinstance(given, str) else given), value]
    elif leaf not in place or name == "search.promote":
        place[leaf] = value


def _format(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _is_same(value: object, other: object) -> bool:
    """Whether a value, perhaps as text, is the other one."""
    if isinstance(value, str) and isinstance(other, bool):
        return value.lower() in (("true", "1", "yes", "on") if other else ("false", "0", "no", "off"))
    if isinstance(value, str) and isinstance(other, int | float):
        with contextlib.suppress(ValueError):
            return float(value) == other
    return value == other
