"""Bar charts of the number of ideas per category (paper Figure 2), as coordinates that a template draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnad.formatting import share_text
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from fairnad.search.imbalance import Imbalance, Yield, counts, imbalance, path_text
from fairnad.search.sampling import Fairness, Key

WIDTH, LABEL, ROW, TOP = 760, 330, 18, 8
"""SVG units; ``LABEL`` is the space for names left of the bars."""
_NUMBERS = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One category: ``y`` is the middle of its row, ``length`` the length of its bar; main categories are ``bold``."""

    name: str
    number: int
    y: float
    length: float
    bold: bool


@dataclass(frozen=True, slots=True)
class BarChart:
    """The main categories of one target and granularity, each followed by its sub-categories."""

    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """The height of the drawing."""
        return 2 * TOP + ROW * len(self.bars)


def bar_charts(ideas: Sequence[Idea], tree: AttributeTree) -> list[BarChart]:
    """One chart per target and granularity, all with the same scale."""
    mains, subs = (counts(ideas, tree, level) for level in (Fairness.MAIN, Fairness.SUB))
    most = max([*mains.values(), 1])
    charts = []
    for group in dict.fromkeys(key[:2] for key in mains):
        rows: list[tuple[str, int, bool]] = []
        for main, number in mains.items():
            if main[:2] == group:
                rows.append((main[2], number, True))
                rows += [(key[3] or "(none)", found, False) for key, found in subs.items() if key[:3] == main]
        room = WIDTH - LABEL - _NUMBERS
        bars = [
            Bar(name, number, TOP + ROW * (place + 0.5), round(room * number / most, 1), bold)
            for place, (name, number, bold) in enumerate(rows)
        ]
        charts.append(BarChart(path_text(group), bars))
    return charts


def write_chart(path: Path, ideas: Sequence[Idea], tree: AttributeTree, used: Mapping[Key, Yield]) -> None:
    """Write the page as one self-contained HTML file.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from store.disk import write_whole

    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    jinja.filters |= {"path": path_text, "share": share_text}
    spreads: dict[str, Imbalance] = {
        str(level): imbalance(counts(ideas, tree, level))
        for level in (Fairness.GRANULARITY, Fairness.MAIN, Fairness.SUB)
    }
    page = jinja.get_template("statistics.html").render(
        charts=bar_charts(ideas, tree), spreads=spreads, used=used, num_ideas=len(ideas), width=WIDTH, label=LABEL
    )
    write_whole(path, [page])
