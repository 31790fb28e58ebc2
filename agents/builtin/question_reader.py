"""The built-in reader of questions: sentence patterns, the names of the attribute tree, and the pack's words.

The forms are data, see ``prompts/question_forms.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from agents.builtin.phrases import Phrasebook, Words, phrasebook, words_of
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Target
from fairnad.ideas.conversation import MAX_LIMIT, Preference, Topic, Turn, Understanding
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.records.candidate import Stage, is_candidate_id
from prompts.pack_files import read_yaml
from prompts.paths import QUESTION_FORMS

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
_ABOUT_CANDIDATES = (Topic.LINEAGE, Topic.CANDIDATE, Topic.DIFF)


@dataclass(frozen=True)
class _Forms:
    """The content of ``question_forms.yaml``."""

    early_topics: list[tuple[Topic, str]]
    topics: list[tuple[Topic, str]]
    difference: str
    about_one: str
    years: list[tuple[str, int | None, int | None]]
    pronoun: str
    follow_up: str
    levels: dict[Granularity, list[str]]
    targets: dict[Target, list[str]]
    newest: list[str]
    negations: set[str]
    ignored: str

    def year_forms(self) -> list[tuple[re.Pattern[str], int | None, int | None]]:
        """The compiled forms of years, with their shifts."""
        year = r"(19[5-9]\d|20[0-3]\d)"
        return [(re.compile(form.replace("YEAR", year)), since, until) for form, since, until in self.years]


@cache
def _forms() -> _Forms:
    return read_yaml(QUESTION_FORMS, _Forms)


class Named(NamedTuple):
    """The candidates and ideas that a question names, in its order and spelling."""

    candidates: tuple[str, ...]
    ideas: tuple[str, ...]


class QuestionReader:
    """Turns questions into queries, without a model.

    Args:
        synonyms: other words for the names of categories.
        cheap: words that ask for low cost.
    """

    def __init__(self, tree: AttributeTree, synonyms: Mapping[str, Sequence[str]], cheap: Sequence[str]) -> None:
        self._subs_of: dict[str, set[str]] = {}
        for tag in tree.tags():
            self._subs_of.setdefault(tag.main, set()).update({tag.sub} - {""})
        names = {name: name for tag in tree.tags() for name in (tag.sub, tag.main) if name}
        by_folded = {name.casefold(): name for name in names}
        others = {word: by_folded[name.casefold()] for name, words in synonyms.items() for word in words}
        self._categories = Phrasebook({**names, **{word: name for word, name in others.items() if word not in names}})
        self._cheap = phrasebook(cheap)
        self._newest = phrasebook(_forms().newest)
        self._ignored = {*words_of(_forms().ignored), *_forms().negations}

    def read(self, question: str, earlier: Sequence[Turn] = ()) -> Understanding:
        """The query for a question, in the context of the turns before it."""
        mentioned = _find_named(question)
        topic = _topic_of(question, mentioned)
        text, filters, is_cheap = self._subject(_without_names(question))
        since, until = _years(question)
        preference = Preference.CLOSEST
        if is_cheap:
            preference = Preference.CHEAP
        elif self._newest.count(question):
            preference = Preference.NEWEST
        understood = Understanding(
            topic or Topic.IDEAS,
            "" if mentioned.ideas else text,
            replace(filters, since=since, until=until),
            preference,
            mentioned.candidates,
            mentioned.ideas,
            _limit_of(question),
        )
        if earlier:
            understood = _in_context(understood, question, earlier[-1], has_topic=topic is not None)
        return _complete(understood)

    def _subject(self, question: str) -> tuple[str, IdeaFilter, bool]:
        """(text to search by meaning, filter on tags, whether low cost is asked for)."""
        words = words_of(question)
        used: set[int] = set()
        names: dict[bool, list[str]] = {False: [], True: []}
        categories = self._categories.find(words)
        # "Efficient" asks for low cost, but not within "efficient convolution".
        cheap = [hit for hit in self._cheap.find(words) if not any(hit[0] < e and s < hit[1] for s, e, _ in categories)]
        for start, _, name in categories:
            is_unwanted = not _forms().negations.isdisjoint(words[max(start - 2, 0) : start])
            names[is_unwanted].append(name)
        for start, end, _ in categories + cheap:
            used |= set(range(start, end))
        targets = tuple(target for target, forms in _forms().targets.items() if _use_phrases(words, forms, used))
        levels = tuple(level for level, forms in _forms().levels.items() if _use_phrases(words, forms, used))
        for start, end, _ in self._newest.find(words):
            used |= set(range(start, end))
        rest = [word for place, word in enumerate(words) if place not in used and not word.isdecimal()]
        text = " ".join(word for word in rest if word not in self._ignored)
        wanted, unwanted = (tuple(dict.fromkeys(names[is_unwanted])) for is_unwanted in (False, True))
        mains = [name for name in wanted if name in self._subs_of]
        # A main category beside one of its own sub-categories means the sub-category.
        mains = [main for main in mains if not self._subs_of[main] & set(wanted)]
        subs = tuple(name for name in wanted if name not in self._subs_of)
        return text, IdeaFilter(targets, levels, tuple(mains), subs, unwanted), bool(cheap)


def _use_phrases(words: Words, phrases: Sequence[str], used: set[int]) -> bool:
    """Whether one of the phrases is among the unused words; marks the words it finds as used."""
    hits = [hit for hit in phrasebook(phrases).find(words) if not set(range(hit[0], hit[1])) & used]
    for start, end, _ in hits:
        used |= set(range(start, end))
    return bool(hits)


def _find_named(question: str) -> Named:
    """The candidates and ideas named in a question by id, number, ``base`` or ``best``."""
    text = question.lower()
    places: list[tuple[int, str]] = [(match.start(), match[0]) for match in _CANDIDATE.finditer(text)]
    inside = [match.span() for match in _CANDIDATE.finditer(text)]
    for match in _NUMBERED.finditer(text):
        places.append((match.start(), match[1] or match[2]))
        another = _AND_NUMBER.match(text, match.end())
        while another:
            places.append((another.start(), another[1]))
            another = _AND_NUMBER.match(text, another.end())
    for form, name in ((_BASE, "base"), (_BEST, "best")):
        word = form.search(text)
        if word and not any(start <= word.start() < end for start, end in inside):
            places.append((word.start(), name))
    ideas = tuple(match[1] or match[0] for match in _IDEA.finditer(text))
    return Named(tuple(dict.fromkeys(name for _, name in sorted(places))), tuple(dict.fromkeys(ideas)))


def _without_names(question: str) -> str:
    """The question without ids, numbers and years."""
    text = question.lower()
    for form in (_CANDIDATE, _NUMBERED, _IDEA, *(form for form, _, _ in _forms().year_forms())):
        text = form.sub(" ", text)
    return text


def _topic_of(question: str, mentioned: Named) -> Topic | None:
    """The topic of a question; ``None`` if only its subject shows."""
    text, forms = question.lower(), _forms()
    if re.search(forms.difference, text) and mentioned.candidates:
        return Topic.DIFF
    early = next((topic for topic, form in forms.early_topics if re.search(form, text)), None)
    if early is not None:
        return early
    is_single = any(name not in ("base", "best") for name in mentioned.candidates)
    is_about = bool(mentioned.candidates) and re.search(forms.about_one, text) and not re.search(r"\bideas?\b", text)
    if is_single or is_about:
        return Topic.CANDIDATE
    return next((topic for topic, form in forms.topics if re.search(form, text)), None)


def _years(question: str) -> tuple[int | None, int | None]:
    """(since, until), both inclusive; ``None`` if open."""
    text = question.lower()
    since = until = None
    for form, since_shift, until_shift in _forms().year_forms():
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


def _limit_of(question: str) -> int:
    """The number of items asked for; 0 if open."""
    match = _LIMIT.search(question.lower())
    number = (match[1] or match[2]) if match else "0"
    return min(_COUNTS.get(number) or int(number), MAX_LIMIT)


def _in_context(understood: Understanding, question: str, last: Turn, *, has_topic: bool) -> Understanding:
    """Complete a question that refers to the previous turn."""
    lower = question.lower()
    names_nothing = not understood.candidates and not understood.ideas
    if names_nothing and (re.search(_forms().pronoun, lower) or re.fullmatch(r"\W*(?:but )?why\W*", lower)):
        candidates = tuple(cited for cited in last.cited if is_candidate_id(cited))[:1]
        ideas = tuple(cited for cited in last.cited if not is_candidate_id(cited))[:1]
        about_ideas = understood.topic in (Topic.IDEAS, Topic.SIMILAR) and not candidates
        if about_ideas or understood.topic is Topic.SIMILAR:
            understood = replace(understood, ideas=ideas)
        else:
            understood = replace(understood, candidates=candidates)
        topic = understood.topic if has_topic else Topic.CANDIDATE if candidates and not about_ideas else Topic.SIMILAR
        return replace(understood, topic=Topic.CANDIDATE if candidates and topic is Topic.FAILURES else topic)
    has_subject = bool(understood.text or understood.filters.mains or understood.filters.subs)
    says_little = not has_subject and names_nothing and not has_topic
    if re.match(_forms().follow_up, lower) or says_little:
        return _merge(last.understanding, understood, has_topic=has_topic)
    return understood


def _merge(before: Understanding, now: Understanding, *, has_topic: bool) -> Understanding:
    """The previous query, updated by the new question."""
    changes = {
        name: value for name in IdeaFilter.__slots__ if (value := getattr(now.filters, name)) not in ((), None, "")
    }
    has_category = bool(changes.keys() & {"mains", "subs"})
    if has_category:
        changes = {"mains": (), "subs": ()} | changes
    if changes.keys() & {"since", "until"}:
        changes = {"since": None, "until": None} | changes
    return replace(
        before,
        topic=now.topic if has_topic else before.topic,
        text=now.text or ("" if has_category else before.text),
        filters=replace(before.filters, **changes),
        preference=before.preference if now.preference is Preference.CLOSEST else now.preference,
        candidates=now.candidates or before.candidates,
        ideas=now.ideas or before.ideas,
        limit=now.limit or before.limit,
        notes=(),
    )


def _complete(understood: Understanding) -> Understanding:
    """The query with a default candidate if it names none."""
    candidates, topic = understood.candidates, understood.topic
    if topic in (Topic.LINEAGE, Topic.CANDIDATE) and not candidates:
        candidates = ("best",)
    if topic is Topic.DIFF and len(candidates) == 1:
        candidates = ("base", *candidates) if candidates[0] != "base" else ("base", "best")
    text = understood.text if topic in (Topic.IDEAS, Topic.CANDIDATES) else ""
    return replace(understood, candidates=candidates if topic in _ABOUT_CANDIDATES else (), text=text)
