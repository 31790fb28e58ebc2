"""The parts of a question that can be told by their form: years, candidates, ideas, a number, the topic. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from fairnad.ideas.conversation import MAX_LIMIT, Topic
from fairnad.records.candidate import Stage

_YEAR = r"(19[5-9]\d|20[0-3]\d)"
_PART = rf"(?:g\d+|{'|'.join(Stage)}|[rsd]\d+)"
_CANDIDATE = re.compile(rf"\b{_PART}(?:-{_PART})+\b")
_NUMBERED = re.compile(
    r"\b(?:candidates?|architectures?|networks?|draws?|numbers?)\s+(?:no\.?\s*|number\s+|#\s*)?(\d{1,6}|[rsd]\d+)\b"
    r"|(?<!\w)#(\d{1,6})\b"
)
_AND_NUMBER = re.compile(r"\s*(?:and|with|to|from|versus|vs\.?|,|or)\s+#?(\d{1,6})\b")
_IDEA = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b|\bideas?\s+#?((?=[0-9a-f]*[0-9])[0-9a-f]{6,12})\b")
_BASE = re.compile(r"\b(?:the )?base(?: model| network| architecture)?\b")
_BEST = re.compile(r"\b(?:best|winner|winning)\b")
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_LIMIT = re.compile(
    rf"\b(?:top|first|best|show(?: me)?|give(?: me)?|list|name)\s+(?:the\s+)?(\d{{1,3}}|{'|'.join(_COUNTS)})\b"
    rf"|\b(\d{{1,2}}|{'|'.join(_COUNTS)})\s+(?:\w+[ -]){{0,4}}?(?:ideas|candidates|neighbours)\b"
)

_RULES: tuple[tuple[Topic, str], ...] = (
    (Topic.LINEAGE, r"lineage|ancest|descend|family|pedigree|came about|come about|evolve|\bparents?\b|stem from"),
    (Topic.CATEGORIES, r"categor(?:y|ies)\b.*\b(?:help|work|gain|improv|fail|tried|success|useful|best)"),
    (Topic.CATEGORIES, r"(?:kinds?|types?|sorts?) of ideas?\b.*\b(?:help|work|gain|improv|tried|success)"),
    (Topic.CATEGORIES, r"\b(?:helped|worked|improved)\b.*\b(?:categor|kinds? of)"),
    (
        Topic.SIMILAR,
        r"\bsimilar\b|\bneighbou?rs?\b|\bclose(?:st)? to\b|\b(?:more )?like (?:this|that|it|idea)\b|\brelated to\b",
    ),
    (Topic.COUNTS, r"how many (?:[\w-]+ ){0,5}?ideas|number of ideas|count(?:s)? of ideas|ideas per|distribution of"),
    (Topic.COUNTS, r"how many ideas|\bcount(?:s)?\b"),
    (Topic.RUN, r"how many (?:[\w-]+ )?(?:candidates|archs|architectures|networks|models|draws|runs)"),
    (Topic.RUN, r"\bhow far\b|\bstatus\b|\bpass rate\b|\bprogress\b|how is the (?:run|search)|summar"),
    (Topic.RUN, r"\bthe (?:run|search)\b\?*$"),
    (Topic.FAILURES, r"\bfail|discard|reject|refus|invalid|\bdied\b|went wrong|thrown away"),
    (Topic.CANDIDATES, r"cheapest (?:candidate|network|architecture|model)"),
    (Topic.BEST, r"\bbest (?:\w+ )?(?:candidate|network|architecture|model|result|accuracy|one)"),
    (Topic.BEST, r"\b(?:candidate|network|architecture|model|one)\b.*\b(?:best|highest|top|most accurate|won|wins)\b"),
    (Topic.BEST, r"^\W*(?:which|what|who)\b(?! ideas?\b)(?:\s+\w+){0,3}?\s+(?:best|won|wins)\b"),
    (Topic.BEST, r"\bwinners?\b|most accurate|\bthe best\b|^\W*best\W*$"),
    (Topic.CANDIDATES, r"\b(?:candidates|networks|architectures)\b"),
)  # fmt: skip
_DIFF = re.compile(r"\bdiff|compar|versus|\bvs\b|chang\w* (?:between|from)|what changed")
_ABOUT_ONE = re.compile(
    r"\bwhy\b|what happened|\bdiscard|\bfail|\babout\b|\bshow\b|\bwhat (?:is|was)\b|\bhow (?:accurate|good|large)\b"
)


class Named(NamedTuple):
    """Candidates and ideas that a question names, in their order, as the person writes them."""

    candidates: tuple[str, ...]
    ideas: tuple[str, ...]


def named(question: str) -> Named:
    """What a question names by id, number, ``base`` or ``best``."""
    text = question.lower()
    places: list[tuple[int, str]] = [(match.start(), match[0]) for match in _CANDIDATE.finditer(text)]
    for match in _NUMBERED.finditer(text):
        places.append((match.start(), match[1] or match[2]))
        further = _AND_NUMBER.match(text, match.end())
        while further:
            places.append((further.start(), further[1]))
            further = _AND_NUMBER.match(text, further.end())
    inside = [match.span() for match in _CANDIDATE.finditer(text)]
    for form, name in ((_BASE, "base"), (_BEST, "best")):
        word = form.search(text)
        if word and not any(start <= word.start() < end for start, end in inside):
            places.append((word.start(), name))
    ideas = tuple(match[1] or match[0] for match in _IDEA.finditer(text))
    return Named(tuple(dict.fromkeys(name for _, name in sorted(places))), tuple(dict.fromkeys(ideas)))


def without_names(question: str) -> str:
    """The question without what :func:`named` and :func:`years` read, so that it is not searched for."""
    text = question.lower()
    for form in (_CANDIDATE, _NUMBERED, _IDEA, *(form for form, _, _ in _YEAR_FORMS)):
        text = form.sub(" ", text)
    return text


def topic_of(question: str, mentioned: Named) -> Topic | None:
    """What a question is about, ``None`` where nothing but its subject tells."""
    text = question.lower()
    single = [name for name in mentioned.candidates if name not in ("base", "best")]
    if _DIFF.search(text) and mentioned.candidates:
        return Topic.DIFF
    for topic, form in _RULES[:5]:
        if re.search(form, text):
            return topic
    if single or (mentioned.candidates and _ABOUT_ONE.search(text) and not re.search(r"\bideas?\b", text)):
        return Topic.CANDIDATE
    return next((topic for topic, form in _RULES[5:] if re.search(form, text)), None)


_YEAR_FORMS: tuple[tuple[re.Pattern[str], int | None, int | None], ...] = tuple(
    (re.compile(form), since, until)
    for form, since, until in (
        (rf"\b(?:between|from)\s+{_YEAR}\s+(?:and|to|until|till|-|–)\s+{_YEAR}\b", 0, 0),
        (rf"\b{_YEAR}\s*(?:-|–|to)\s*{_YEAR}\b", 0, 0),
        (rf"\b(?:after|newer than|later than|more recent than|past)\s+{_YEAR}\b", 1, None),
        (rf"\b(?:before|older than|earlier than|prior to)\s+{_YEAR}\b", None, -1),
        (rf"\b(?:since|starting(?: in)?|beginning(?: in)?|>=)\s*{_YEAR}\b", 0, None),
        (rf"\b(?:until|till|up to|to the end of|no later than|<=)\s*{_YEAR}\b", None, 0),
        (rf"\b(?:from\s+)?{_YEAR}\s+(?:on|onwards?|or (?:later|newer|after)|and (?:later|newer|after))\b", 0, None),
        (rf"\b(?:from\s+)?{_YEAR}\s+(?:or|and) (?:earlier|older|before)\b", None, 0),
        (rf"\b(?:in|of|from|year|published|papers?)?\s*\b{_YEAR}\b", 0, 0),
    )
)
"""Forms that name years, with what is added to the first or only year for ``since`` and for ``until``."""


def years(question: str) -> tuple[int | None, int | None]:
    """(since, until), both included, ``None`` where the question leaves that side open."""
    text = question.lower()
    since = until = None
    for form, since_shift, until_shift in _YEAR_FORMS:
        match = form.search(text)
        if match is None:
            continue
        found = sorted(int(year) for year in match.groups())
        if since_shift is not None and since is None:
            since = found[0] + since_shift
        if until_shift is not None and until is None:
            until = found[-1] + until_shift
        text = text[: match.start()] + " " + text[match.end() :]
    return since, until


def limit_of(question: str) -> int:
    """How many items are asked for, 0 where that is left open."""
    match = _LIMIT.search(question.lower())
    if match is None:
        return 0
    number = match[1] or match[2]
    return min(_COUNTS.get(number) or int(number), MAX_LIMIT)
