"""Checks the ids that an answer cites: unknown ids are removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from agents.replies.source_replies import strip_reasoning

_CANDIDATE = r"g\d{2,}-[a-z]+-r\d+-s\d{2,}-d\d+"
_IDEA = r"[0-9a-f]{12}"
_ID = re.compile(rf"\b(?:{_CANDIDATE}|(?=[a-f]*\d){_IDEA})\b")
_LIKE_AN_ID = re.compile(rf"(?:{_CANDIDATE}|g\d+-\S+|(?:initial|fair|pareto|refine)-\S+|(?=[a-f]*\d)[0-9a-f]{{6,}})")
_BRACKET = re.compile(r"(?P<blank>\s*)\[(?P<inside>[^\[\]]*)\]")
_SHORTEST_BEGINNING = 6
_LONGEST_BRACKET = 200


@dataclass
class Cited:
    """A text whose ids are all known: ``ids`` in order, and the removed ids in ``refused``."""

    text: str = ""
    ids: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def check_citations(text: str, known: Collection[str]) -> Cited:
    """``text`` without the ids that are not among ``known``.

    An id may be shortened to a unique prefix; it is then written out. In brackets with several ids the known ones stay;
    brackets that lose all their ids are removed. Brackets without ids are not changed.
    """
    cited = Cited()
    pieces = []
    end = 0
    for match in _BRACKET.finditer(text):
        pieces.append(_check_words(text[end : match.start()], known, cited))
        pieces.append(_check_bracket(match, known, cited))
        end = match.end()
    pieces.append(_check_words(text[end:], known, cited))
    cited.text = "".join(pieces)
    cited.ids = list(dict.fromkeys(cited.ids))
    cited.refused = list(dict.fromkeys(cited.refused))
    return cited


def settled_part(text: str) -> str:
    """The part of an unfinished answer that can be shown: no reasoning, no unfinished word or bracket."""
    visible = strip_reasoning(text)
    end = max(visible.rfind(" "), visible.rfind("\n")) + 1
    opened = visible.rfind("[", 0, end)
    if opened >= 0 and "]" not in visible[opened:end] and end - opened < _LONGEST_BRACKET:
        end = opened
    settled = visible[:end]
    # Spaces go with a removed bracket, so they wait for what follows.
    return settled.rstrip()


def _check_bracket(match: re.Match[str], known: Collection[str], cited: Cited) -> str:
    words = [word for word in re.split(r"[\s,;]+", match["inside"]) if word]
    like_ids = [word for word in words if word in known or _LIKE_AN_ID.fullmatch(word)]
    if not like_ids:
        return f"{match['blank']}[{_check_words(match['inside'], known, cited)}]"
    kept = []
    for word in like_ids:
        found = _resolve(word, known)
        if found:
            kept.append(found)
        else:
            cited.refused.append(word)
    cited.ids += kept
    return f"{match['blank']}[{', '.join(dict.fromkeys(kept))}]" if kept else ""


def _check_words(text: str, known: Collection[str], cited: Cited) -> str:
    def check(match: re.Match[str]) -> str:
        if match[0] in known:
            cited.ids.append(match[0])
            return match[0]
        cited.refused.append(match[0])
        return "…"

    return _ID.sub(check, text)


def _resolve(word: str, known: Collection[str]) -> str:
    """The only known id that matches a word, or empty."""
    if word in known:
        return word
    found = [one for one in known if one.startswith(word)] if len(word) >= _SHORTEST_BEGINNING else []
    return found[0] if len(found) == 1 else ""


def ids_in(text: str) -> list[str]:
    """Every complete id in a text."""
    return list(dict.fromkeys(match[0] for match in _ID.finditer(text)))
