"""Merges the attributes of all reference models into one tree: 𝒯attr → 𝒟attr (paper §4.1, C.1).

The paper cleans the merged tree by hand and names three kinds of failure (C.2): overly specific attributes, attributes
in several categories, and empty categories. This module handles all three and reports every change with its reason.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fairnad.ideas.attribute_tree import AttributeTemplate, AttributeTree, Category
from fairnad.ideas.knowledge import Attribute, Findings
from fairnad.ideas.tagging import clean_name, find_tag

_NEAR = 0.9
"""Names with at least this similarity are merged."""
_SHORT_FORMS = {"conv": "convolution", "norm": "normalization", "normalisation": "normalization", "avg": "average"}
_KEPT_S = ("ss", "us", "is", "dynamics")


class ChangeKind(StrEnum):
    """Kinds of changes to attributes and findings about categories."""

    MARKS = "stray marks taken off"
    """asterisks, numbers or brackets around a name"""
    SPELLING = "spelling made the same"
    """another case, hyphen, plural or short form of an existing name"""
    JOINED = "joined with a near-duplicate"
    """a name similar to another"""
    CATEGORY_NAME = "put under the category meant"
    """the category was misspelt or belongs to another place of the template"""
    INVENTED = "dropped: its category is not in the template"
    """no category is similar to the named one"""
    MAIN_CATEGORY = "dropped: it names a main category"
    """a main category among the sub-categories"""
    SEVERAL_CATEGORIES = "kept in one category of several"
    """inconsistent categorization, the paper's second kind of failure"""
    ONE_MODEL_KEPT = "kept, though one model alone has it"
    """possibly overly specific, the paper's first kind of failure"""
    ONE_MODEL_DROPPED = "dropped: too few models have it"
    """overly specific, the paper's first kind of failure"""
    EMPTY = "no attribute found"
    """an empty category, the paper's third kind of failure"""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the report; ``detail`` describes the change, ``models`` lists the models concerned."""

    kind: ChangeKind
    name: str
    category: str
    detail: str = ""
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Structuring:
    """The tree, the number of models behind each tag, and all changes."""

    tree: AttributeTree
    support: Mapping[str, int]
    changes: tuple[Change, ...]


def merge_findings(template: AttributeTemplate, findings: Sequence[Findings], *, min_models: int = 1) -> Structuring:
    """Merge all attributes into one tree, in the order of the template; sub-categories of most models first.

    Args:
        min_models: attributes of fewer models are dropped.
    """
    report: list[Change] = []
    placed = _place(template, findings, report)
    joined = _join(placed, report)
    settled = _settle(joined, list(template.notes), report)
    categories: dict[Category, tuple[str, ...]] = {}
    support: dict[str, int] = {}
    for category in template.notes:
        names = [name for name, home in settled.items() if home == category]
        kept = [name for name in names if _has_enough(name, category, joined, min_models, report)]
        kept.sort(key=lambda name: -len(joined[name][category]))
        categories[category] = tuple(kept)
        support |= {f"{category} / {name}": len(joined[name][category]) for name in kept}
        if not kept:
            report.append(Change(ChangeKind.EMPTY, "", str(category)))
    return Structuring(AttributeTree(categories), support, tuple(dict.fromkeys(report)))


_Models = dict[str, None]
"""Distinct names of models in reading order."""
_Places = dict[Category, _Models]


def _place(
    template: AttributeTemplate, findings: Iterable[Findings], report: list[Change]
) -> dict[str, dict[Category, _Models]]:
    """The models by cleaned name and category of the template."""
    frame = AttributeTree(dict.fromkeys(template.notes, ()))
    mains = {normalized(category.main) for category in template.notes}
    placed: dict[str, _Places] = defaultdict(lambda: defaultdict(dict))
    for found in findings:
        for attribute in found.attributes:
            name, path = _clean(attribute), f"{attribute.target} / {attribute.granularity} / {attribute.main}"
            tag = find_tag(path, frame)
            if not name:
                continue
            if name != " ".join(attribute.name.lower().split()):
                report.append(Change(ChangeKind.MARKS, attribute.name.strip(), path, f"{name!r}", (found.model,)))
            if tag is None:
                report.append(Change(ChangeKind.INVENTED, name, path, models=(found.model,)))
            elif normalized(name) in mains:
                report.append(Change(ChangeKind.MAIN_CATEGORY, name, str(tag.tag.category), models=(found.model,)))
            else:
                if not tag.exact:
                    detail = str(tag.tag.category)
                    report.append(Change(ChangeKind.CATEGORY_NAME, name, path, detail, (found.model,)))
                placed[name][tag.tag.category][found.model] = None
    return placed


def _clean(attribute: Attribute) -> str:
    """The name without leading numbers, bracketed remarks and markup."""
    name = re.sub(r"^\s*(?:\(?\d+[.)]|[-*•])\s*", "", attribute.name)
    name = re.sub(r"\s*[(\[{][^)\]}]*[)\]}]", "", name)
    return clean_name(re.sub(r"[*`#]+", " ", name))


def normalized(name: str) -> str:
    """A form shared by all spellings of a name: no hyphens or plurals, short forms written out."""
    words = []
    for word in re.findall(r"[a-z0-9]+", name.lower()):
        long = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(_KEPT_S) else word
        words.append(_SHORT_FORMS.get(long, long))
    return " ".join(words)


def _join(placed: Mapping[str, _Places], report: list[Change]) -> dict[str, _Places]:
    """Join equal names under the spelling that most models use."""
    most_used = sorted(placed, key=lambda name: (-_num_models(placed[name]), -len(name), name))
    joined: dict[str, _Places] = {}
    keys: dict[str, str] = {}
    for name in most_used:
        key = normalized(name)
        near = key if key in keys else next(iter(difflib.get_close_matches(key, keys, n=1, cutoff=_NEAR)), None)
        if near is None:
            keys[key] = name
            joined[name] = {category: dict(models) for category, models in placed[name].items()}
            continue
        into = keys[near]
        kind = ChangeKind.SPELLING if near == key else ChangeKind.JOINED
        for category, models in placed[name].items():
            report.append(Change(kind, name, str(category), f"{into!r}", tuple(models)))
            joined[into].setdefault(category, {}).update(models)
    return joined


def _num_models(places: _Places) -> int:
    return len({model for models in places.values() for model in models})


def _settle(joined: Mapping[str, _Places], order: Sequence[Category], report: list[Change]) -> dict[str, Category]:
    """The category of each name: where most models have it; on a tie, the one with the fewest names."""
    sizes = Counter(category for places in joined.values() for category in places)
    settled = {}
    for name, places in joined.items():
        home = max(places, key=lambda category: (len(places[category]), -sizes[category], -order.index(category)))
        settled[name] = home
        for category, models in places.items():
            if category != home:
                detail = f"kept in {home} ({len(places[home])} to {len(models)} models)"
                report.append(Change(ChangeKind.SEVERAL_CATEGORIES, name, str(category), detail, tuple(models)))
    return settled


def _has_enough(
    name: str, category: Category, joined: Mapping[str, _Places], min_models: int, report: list[Change]
) -> bool:
    models = tuple(joined[name][category])
    enough = len(models) >= min_models
    if not enough:
        report.append(Change(ChangeKind.ONE_MODEL_DROPPED, name, str(category), models=models))
    elif len(models) == 1:
        report.append(Change(ChangeKind.ONE_MODEL_KEPT, name, str(category), models=models))
    return enough
