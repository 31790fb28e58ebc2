"""The built-in paper reader: scores papers by word lists, and extracts sentences as ideas."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

from agents.builtin.tagger import Tagger
from fairnad.ideas.idea import MAX_IDEA_WORDS, Source
from fairnad.ideas.knowledge import LEAST_IDEA_WORDS, Dropped, Extraction, Paper, PaperVerdict, Passage, collect_ideas
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure
from prompts.lexicon import Lexicon

_WORDS = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\]][.!?])\s+(?=[A-Z])")
_CITATION = re.compile(r"\s*\[[0-9][0-9,\s–-]*\]")
_REMARK = re.compile(r"\s*\((?:see |cf\. |e\.g\.|i\.e\.)?[^()]*\)")
_PROPOSAL = re.compile(
    r"^.*?\b(?:we|this (?:paper|work)|the authors)\s+(?:then |also |further |first |thus |therefore |next |finally )?"
    r"(?:propose|introduce|present|design|devise|develop|employ|adopt|use|utilize|apply|leverage|exploit|build)s?\s+"
    r"(?:to (?:use|employ|adopt) )?(?P<what>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)
_PROPOSED = re.compile(r"\b(?:propos|introduc|design|devis|consist|compos|replac|insert|stack|connect|split|concat)")
_NO_INSTRUCTION = re.compile(
    r"\b(?:outperform\w*|state-of-the-art|sota|experiments?|results?|achiev\w*|code is|github|https?|fig(?:ure|\.)"
    r"|table|eq(?:uation|s?\.)|theorem|previous|existing|recent\w*|prior|however|et al|section|sec\.|extensive"
    r"|performance|shown?|remarkable|popular|paradigm|issues?|problems?|limitations?|challeng\w*)\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"[=∈∑∏√≤≥→×⊙⊗∗{}\\<>|^~]|[A-Za-z]_[A-Za-z0-9]|[α-ωΑ-Ω]|\d{3,}")
_MIN_CONCEPTS = 3
_MIN_CONCEPTS_PROPOSED = 1
"""The minimum for a sentence that proposes something."""
_MAX_IDEAS = 12


class BuiltinPaperReader:
    """A :class:`fairnad.ideas.knowledge.PaperReader` that extracts sentences."""

    def __init__(self, lexicon: Lexicon, tagger: Tagger) -> None:
        self._lexicon = lexicon
        self._tagger = tagger

    async def judge(self, context: CallContext, paper: Paper) -> PaperVerdict | Failure:
        """Stage 1; never a failure."""
        return self.verdict(paper.title, paper.abstract)

    def verdict(self, title: str, abstract: str) -> PaperVerdict:
        """Stage 1, from title and abstract alone; a paper without a tag is discarded."""
        found = score(features(title, abstract, self._lexicon), self._lexicon)
        tag = self._tagger.tag(f"{title}. {abstract}") if found >= self._lexicon.keep_above else None
        return PaperVerdict(keep=tag is not None, score=round(found, 4), tag=tag)

    async def extract(self, context: CallContext, paper: Paper, passage: Passage) -> Extraction | Failure:
        """Stage 2: sentences of abstract and method about how a network is built; never a failure."""
        off_topic = 0
        found: list[tuple[int, int, str]] = []
        sentences = dict.fromkeys(_sentences(paper.abstract) + _sentences(passage.text))
        for number, sentence in enumerate(sentences):
            concepts = self._num_concepts(sentence)
            proposed = _PROPOSAL.match(sentence) is not None or _PROPOSED.search(sentence.lower()) is not None
            if concepts < (_MIN_CONCEPTS_PROPOSED if proposed else _MIN_CONCEPTS) or not _can_be_idea(sentence):
                continue
            if self._is_off_topic(sentence):
                off_topic += 1
                continue
            found.append((-(concepts + 2 * proposed), number, instruction(sentence)))
        chosen = sorted(sorted(found)[:_MAX_IDEAS], key=lambda entry: entry[1])
        source = Source(paper.title, paper.year, paper.link, passage.section)
        texts = [text for *_, text in chosen]
        extraction = collect_ideas([(text, self._tagger.tag_by_sign(text)) for text in texts], source)
        dropped = Counter(extraction.dropped) + Counter({str(Dropped.OFF_TOPIC): off_topic})
        return Extraction(extraction.ideas, 0, dict(dropped))

    def _is_off_topic(self, sentence: str) -> bool:
        patterns = (self._lexicon.one_task_only, *self._lexicon.other_talk.values())
        return any(pattern.search(sentence) for pattern in patterns)

    def _num_concepts(self, sentence: str) -> int:
        text = self._lexicon.false_friends.sub(" ", sentence)
        return sum(1 for concept in self._lexicon.mechanisms if concept.search(text))


def instruction(sentence: str) -> str:
    """A sentence rewritten as an instruction, without authors, markup and citations."""
    sentence = _REMARK.sub("", _CITATION.sub("", sentence))
    proposal = _PROPOSAL.match(sentence)
    if proposal is not None:
        what = re.sub(r"^(?:a |an )?novel ", lambda m: "a " if m[0].lower().startswith("a") else "", proposal["what"])
        sentence = what[3:].capitalize() if what.lower().startswith("to ") else f"Use {what}"
    plain = re.sub(r"[*:`#]+", " ", sentence)
    return " ".join(plain.split()).strip(" ,;-")


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.split()) for sentence in _SENTENCE_END.split(text)]


def _can_be_idea(sentence: str) -> bool:
    """Whether a sentence can be an idea: its length fits, no formulas, nothing about results or other papers."""
    return (
        LEAST_IDEA_WORDS < len(sentence.split()) <= MAX_IDEA_WORDS
        and not _NO_INSTRUCTION.search(sentence)
        and not _FORMULA.search(sentence)
    )


@dataclass(frozen=True, slots=True)
class Features:
    """The features of a score, at least 0.

    ``mechanisms`` is log(1 + n) for n named concepts of architecture; ``in_title`` counts those in the title. The
    others are percentages of words about other subjects.
    """

    mechanisms: float
    in_title: float
    training: float
    data: float
    other_domains: float


FEATURES = tuple(entry.name for entry in fields(Features))


def features(title: str, abstract: str, lexicon: Lexicon) -> Features:
    """The features of a paper."""
    text = lexicon.false_friends.sub(" ", f"{title}. {abstract}")
    heading = lexicon.false_friends.sub(" ", title)
    num_words = max(len(_WORDS.findall(text)), 1)
    talk: Mapping[str, float] = {
        name: 100 * len(pattern.findall(text)) / num_words for name, pattern in lexicon.other_talk.items()
    }
    named = sum(1 for concept in lexicon.mechanisms if concept.search(text))
    in_title = sum(1 for concept in lexicon.mechanisms if concept.search(heading))
    return Features(mechanisms=math.log1p(named), in_title=float(in_title), **talk)


def score(found: Features, lexicon: Lexicon) -> float:
    """In (0, 1); higher is more about architecture."""
    weights = [getattr(lexicon.weights, name) for name in FEATURES]
    total = lexicon.weights.bias + sum(w * value for w, value in zip(weights, astuple(found), strict=True))
    return 1 / (1 + math.exp(-total))
