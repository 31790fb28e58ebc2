"""The built-in understanding of questions: forms of language, the names of the tree, and the pack's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.builtin.phrases import Phrasebook, Words, phrasebook, words_of
from agents.builtin.question_parts import limit_of, named, topic_of, without_names, years
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Target
from fairnad.ideas.conversation import Preference, Topic, Turn, Understanding
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.records.candidate import is_candidate_id

_NOT = {"not", "without", "except", "excluding", "no", "non", "beside", "besides", "than"}
_LEVELS = {
    Granularity.OPERATION: ("operation level", "operation", "operator level", "layer level"),
    Granularity.BLOCK: ("block level", "block and connectivity", "connectivity level"),
    Granularity.NETWORK: ("network level", "whole network", "network structure level", "architecture level"),
}
_TARGETS = {
    Target.PERFORMANCE: ("performance", "for accuracy", "raise accuracy", "accuracy oriented", "improve accuracy"),
    Target.EFFICIENCY: ("efficiency", "efficiency oriented"),
}
_NEWEST = phrasebook(("newest", "latest", "most recent", "recent", "recently", "new"))
_PRONOUN = re.compile(r"\b(?:it|its|(?:this|that)(?: one| candidate| idea)|the first(?: one)?|them|they|these|those)\b")
_FOLLOW_UP = re.compile(r"^\W*(?:and|what about|how about|only|but|also|now|just|or|same)\b")
_SMALL = frozenset(
    words_of(
        """
        a about after all also am an and any anything are as at available be been before best between but by can cost
        could did do does down each every find for from get give had has have he her here how i idea if in into is it
        its just know let like list look made make many may me mean more most much my name need new no not of on one
        only or other our out paper please propose publish published question show should so some something suggest
        tell than that the their them then there these they thing think this those through to told try under up us use
        used using want was way we were what when where which who whose why will with without work would year you your
        candidate network architecture run search found level flop parameter compute budget instead exist kind type
        sort category helped help within inside done
        """
    )
) | frozenset(_NOT)  # fmt: skip
"""Words that say nothing of the subject."""


class QuestionReader:
    """Turns a question into something that can be looked up, without a model."""

    def __init__(self, tree: AttributeTree, synonyms: Mapping[str, Sequence[str]], cheap: Sequence[str]) -> None:
        """Prepare to read questions about the ideas of a tree.

        Args:
            synonyms: other words for the names of categories.
            cheap: words that ask for what costs little.
        """
        self._subs_of: dict[str, set[str]] = {}
        for tag in tree.tags():
            self._subs_of.setdefault(tag.main, set()).update({tag.sub} - {""})
        names = {name: name for tag in tree.tags() for name in (tag.sub, tag.main) if name}
        by_folded = {name.casefold(): name for name in names}
        others = {word: by_folded[name.casefold()] for name, words in synonyms.items() for word in words}
        self._categories = Phrasebook({**names, **{word: name for word, name in others.items() if word not in names}})
        self._cheap = phrasebook(cheap)

    def read(self, question: str, earlier: Sequence[Turn] = ()) -> Understanding:
        """The question as something that can be looked up, seen against the turns before it."""
        mentioned = named(question)
        topic = topic_of(question, mentioned)
        text, filters, is_cheap = self._subject(without_names(question))
        since, until = years(question)
        filters = replace(filters, since=since, until=until)
        preference = Preference.CLOSEST
        if is_cheap:
            preference = Preference.CHEAP
        elif _NEWEST.count(question):
            preference = Preference.NEWEST
        understood = Understanding(
            topic or Topic.IDEAS, text, filters, preference, mentioned.candidates, mentioned.ideas, limit_of(question)
        )
        if mentioned.ideas:
            understood = replace(understood, text="")
        if earlier:
            understood = _seen_against(understood, question, earlier[-1], has_topic=topic is not None)
        return _completed(understood)

    def _subject(self, question: str) -> tuple[str, IdeaFilter, bool]:
        """(what is searched by meaning, the filter on tags, whether little cost is asked for)."""
        words = words_of(question)
        used: set[int] = set()
        wanted: list[str] = []
        unwanted: list[str] = []
        cheap = self._cheap.find(words)
        categories = self._categories.find(words)
        # "Efficient" asks for little cost, but not within "efficient convolution".
        cheap = [hit for hit in cheap if not any(hit[0] < end and start < hit[1] for start, end, _ in categories)]
        for start, end, name in categories:
            used |= set(range(start, end))
            is_unwanted = any(word in _NOT for word in words[max(start - 2, 0) : start])
            (unwanted if is_unwanted else wanted).append(name)
        for start, end, _ in cheap:
            used |= set(range(start, end))
        targets = tuple(target for target, forms in _TARGETS.items() if _marks(words, forms, used))
        levels = tuple(level for level, forms in _LEVELS.items() if _marks(words, forms, used))
        filters = self._filter(wanted, unwanted, targets, levels)
        for start, end, _ in _NEWEST.find(words):
            used |= set(range(start, end))
        rest = [
            word
            for place, word in enumerate(words)
            if place not in used and word not in _SMALL and not word.isdecimal()
        ]
        return " ".join(rest), filters, bool(cheap)

    def _filter(
        self,
        wanted: Sequence[str],
        unwanted: Sequence[str],
        targets: tuple[Target, ...],
        levels: tuple[Granularity, ...],
    ) -> IdeaFilter:
        names = tuple(dict.fromkeys(wanted))
        mains = [name for name in names if name in self._subs_of]
        # Who names a main category and one of its own sub-categories means the smaller one.
        mains = [main for main in mains if not self._subs_of[main] & set(names)]
        subs = [name for name in names if name not in self._subs_of]
        return IdeaFilter(targets, levels, tuple(mains), tuple(subs), tuple(dict.fromkeys(unwanted)))


_ABOUT_CANDIDATES = (Topic.LINEAGE, Topic.CANDIDATE, Topic.DIFF)


def _marks(words: Words, forms: Sequence[str], used: set[int]) -> bool:
    """Whether one of the forms stands in ``words`` outside what is used; what is found is used from then on."""
    hits = [hit for hit in phrasebook(forms).find(words) if not set(range(hit[0], hit[1])) & used]
    for start, end, _ in hits:
        used |= set(range(start, end))
    return bool(hits)


def _seen_against(understood: Understanding, question: str, last: Turn, *, has_topic: bool) -> Understanding:
    """A question that leaves something open means what was spoken of before."""
    before = last.understanding
    lower = question.lower()
    names_nothing = not understood.candidates and not understood.ideas
    if names_nothing and (_PRONOUN.search(lower) or re.fullmatch(r"\W*(?:but )?why\W*", lower)):
        candidates = tuple(cited for cited in last.cited if is_candidate_id(cited))[:1]
        ideas = tuple(cited for cited in last.cited if not is_candidate_id(cited))[:1]
        about_ideas = understood.topic in (Topic.IDEAS, Topic.SIMILAR) and not candidates
        if about_ideas or understood.topic is Topic.SIMILAR:
            understood = replace(understood, ideas=ideas)
        else:
            understood = replace(understood, candidates=candidates)
        topic = understood.topic if has_topic else Topic.CANDIDATE if candidates and not about_ideas else Topic.SIMILAR
        topic = Topic.CANDIDATE if candidates and topic is Topic.FAILURES else topic
        return replace(understood, topic=topic)
    has_subject = bool(understood.text or understood.filters.mains or understood.filters.subs)
    says_little = not has_subject and names_nothing and not has_topic
    if _FOLLOW_UP.match(lower) or says_little:
        return _overlaid(before, understood, has_topic=has_topic)
    return understood


def _overlaid(before: Understanding, now: Understanding, *, has_topic: bool) -> Understanding:
    """What was asked before, with what is asked now in the place of what it is about."""
    old, new = before.filters, now.filters
    changes = {name: value for name in IdeaFilter.__slots__ if (value := getattr(new, name)) not in ((), None, "")}
    if changes.keys() & {"mains", "subs"}:
        changes = {"mains": (), "subs": ()} | changes
    if changes.keys() & {"since", "until"}:
        changes = {"since": None, "until": None} | changes
    return replace(
        before,
        topic=now.topic if has_topic else before.topic,
        text=now.text or ("" if changes.keys() & {"mains", "subs"} else before.text),
        filters=replace(old, **changes),
        preference=before.preference if now.preference is Preference.CLOSEST else now.preference,
        candidates=now.candidates or before.candidates,
        ideas=now.ideas or before.ideas,
        limit=now.limit or before.limit,
        notes=(),
    )


def _completed(understood: Understanding) -> Understanding:
    """With the candidate that is meant where none is named."""
    candidates, text = understood.candidates, understood.text
    if understood.topic not in (Topic.IDEAS, Topic.CANDIDATES):
        text = ""
    if understood.topic in (Topic.LINEAGE, Topic.CANDIDATE) and not candidates:
        candidates = ("best",)
    if understood.topic is Topic.DIFF and len(candidates) == 1:
        candidates = ("base", *candidates) if candidates[0] != "base" else ("base", "best")
    if understood.topic not in _ABOUT_CANDIDATES:
        candidates = ()
    return replace(understood, candidates=candidates, text=text)
