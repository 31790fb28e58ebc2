"""The paper reader without a language model: word lists for the filter, sentences of the paper for its ideas."""

from __future__ import annotations

import re
from collections import Counter

from agents.builtin.paper_scoring import features, score
from agents.builtin.tagger import Tagger
from fairnad.ideas.idea import MAX_IDEA_WORDS, Source
from fairnad.ideas.knowledge import LEAST_IDEA_WORDS, Dropped, Extraction, Paper, PaperVerdict, Passage, collect_ideas
from fairnad.ports import Errand
from fairnad.records.candidate import Failure
from prompts.lexicon import Lexicon

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
_LEAST_CONCEPTS = 3
_LEAST_CONCEPTS_PROPOSED = 1
"""Fewer are enough in a sentence that says it proposes something."""
_MOST_IDEAS = 12


class BuiltinPaperReader:
    """A :class:`fairnad.knowledge.PaperReader` that extracts sentences."""

    def __init__(self, lexicon: Lexicon, tagger: Tagger) -> None:
        self._lexicon = lexicon
        self._tagger = tagger

    async def judge(self, errand: Errand, paper: Paper) -> PaperVerdict | Failure:
        """Stage 1; never a failure."""
        return self.verdict(paper.title, paper.abstract)

    def verdict(self, title: str, abstract: str) -> PaperVerdict:
        """Stage 1, which depends on title and abstract alone; a paper that falls under no tag is discarded."""
        found = score(features(title, abstract, self._lexicon), self._lexicon)
        tag = self._tagger.tag(f"{title}. {abstract}") if found >= self._lexicon.keep_above else None
        return PaperVerdict(keep=tag is not None, score=round(found, 4), tag=tag)

    async def extract(self, errand: Errand, paper: Paper, passage: Passage) -> Extraction | Failure:
        """Stage 2: sentences of abstract and method that say how a network is built; never a failure."""
        off_topic = 0
        found: list[tuple[int, int, str]] = []
        sentences = dict.fromkeys(_sentences(paper.abstract) + _sentences(passage.text))
        for number, sentence in enumerate(sentences):
            concepts = self._num_concepts(sentence)
            proposed = _PROPOSAL.match(sentence) is not None or _PROPOSED.search(sentence.lower()) is not None
            if concepts < (_LEAST_CONCEPTS_PROPOSED if proposed else _LEAST_CONCEPTS) or not _can_be_told(sentence):
                continue
            if self._is_off_topic(sentence):
                off_topic += 1
                continue
            found.append((-(concepts + 2 * proposed), number, instruction(sentence)))
        chosen = sorted(sorted(found)[:_MOST_IDEAS], key=lambda entry: entry[1])
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
    """A sentence about what authors did, as something to do: without the authors, marks and citations."""
    sentence = _REMARK.sub("", _CITATION.sub("", sentence))
    proposal = _PROPOSAL.match(sentence)
    if proposal is not None:
        what = re.sub(r"^(?:a |an )?novel ", lambda m: "a " if m[0].lower().startswith("a") else "", proposal["what"])
        sentence = what[3:].capitalize() if what.lower().startswith("to ") else f"Use {what}"
    plain = re.sub(r"[*:`#]+", " ", sentence)
    return " ".join(plain.split()).strip(" ,;-")


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.split()) for sentence in _SENTENCE_END.split(text)]


def _can_be_told(sentence: str) -> bool:
    """Whether a sentence is one: of a length, no formula, no talk about results or other papers."""
    return (
        LEAST_IDEA_WORDS < len(sentence.split()) <= MAX_IDEA_WORDS
        and not _NO_INSTRUCTION.search(sentence)
        and not _FORMULA.search(sentence)
    )
