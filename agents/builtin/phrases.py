"""Known phrases in a text, regardless of hyphens, case and plurals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Words = tuple[str, ...]


def words_of(text: str) -> Words:
    """The words of a text in lower case, hyphens as blanks, without the ``s`` of plurals."""
    return tuple(_singular(word) for word in re.findall(r"[a-z0-9]+", text.lower()))


def _singular(word: str) -> str:
    ends_in_s = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if ends_in_s else word


class Phrasebook:
    """Phrases with their meanings; of overlapping phrases the longest counts."""

    def __init__(self, meanings: Mapping[str, str]) -> None:
        """Prepare to find phrases; of two equal ones, the first counts."""
        self._meanings: dict[Words, str] = {}
        for phrase, meaning in meanings.items():
            words = words_of(phrase)
            if words:
                self._meanings.setdefault(words, meaning)
        self._longest = max(map(len, self._meanings), default=0)

    def find(self, words: Words) -> list[tuple[int, int, str]]:
        """(start, end, meaning) of every phrase in ``words``, in order, without overlaps."""
        found = []
        start = 0
        while start < len(words):
            for length in range(min(self._longest, len(words) - start), 0, -1):
                meaning = self._meanings.get(words[start : start + length])
                if meaning is not None:
                    found.append((start, start + length, meaning))
                    start += length
                    break
            else:
                start += 1
        return found

    def count(self, text: str) -> int:
        """The number of phrases in a text."""
        return len(self.find(words_of(text)))


def phrasebook(phrases: Iterable[str], meaning: str = "") -> Phrasebook:
    """Phrases of one meaning."""
    return Phrasebook(dict.fromkeys(phrases, meaning))
