"""Histories made by hand, and what a browser would make of their reports."""

from html.parser import HTMLParser
from pathlib import Path

from fairnad.domain.budget import Budget
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import Record
from fairnad.search.finals import Finalist, Finals
from graphs.report import html_report as report

BUDGETS = [Budget("params", "parameters", 2000.0), Budget("flops", "multiply-adds an image", 10_000.0)]
SKIPS = Tag(Target.PERFORMANCE, Granularity.BLOCK, "residual connections", "dense")
GATES = Tag(Target.PERFORMANCE, Granularity.OPERATION, "gates")
CHEAP = Tag(Target.EFFICIENCY, Granularity.OPERATION, "gates")
PACK = Path(report.__file__).parents[2] / "prompts" / "vision"
TASKS = """[digits]
base = "resnet32"
recipe = "quick"
max_params = 2e3
max_flops = 1e4
image_size = 8
num_train = 0
num_validation = 0
flip_probability = 0.0
crop_padding = 1
"""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place(stage, slot=0, generation=1, draw=0, round_number=1):
    generation = 0 if stage in (Stage.BASE, Stage.INITIAL) else generation
    return str(CandidateId(generation, stage, round_number, slot, draw))


def trained(candidate_id, accuracy, parent_id="", tag=None, recipe="recipe", **fields):
    kind = IdeaKind.KNOWLEDGE if tag else IdeaKind.UPSCALE
    evaluation = Evaluation(accuracy, recipe, {"params": 1000.0, "flops": 5000.0}, candidate_id)
    idea = fields.pop("idea", Idea(f"the idea of {candidate_id}", kind, tag))
    return Record(candidate_id, parent_id, idea, f"source of {candidate_id}", evaluation, **fields)


def failed(candidate_id, parent_id="", step=Step.EXECUTE, kind=FailureKind.SHAPE, tag=GATES, **fields):
    failure = Failure(step, kind, f"message of {candidate_id}", f"log of {candidate_id}")
    return Record(candidate_id, parent_id, Idea("an idea", tag=tag), "source", failure=failure, **fields)


BASE_ID, FIRST, SECOND, THIRD = (place(stage) for stage in (Stage.BASE, Stage.INITIAL, Stage.FAIR, Stage.PARETO))
BASE = trained(BASE_ID, 0.5, idea=Idea("", IdeaKind.NONE))
CHAIN = [BASE, trained(FIRST, 0.45, BASE_ID, SKIPS), trained(SECOND, 0.6, FIRST, GATES), trained(THIRD, 0.7, SECOND)]


def finals_of(finalist_id, winner_id=None):
    """Finals of one finalist, which wins unless told otherwise, and the base, which failed with one seed."""
    finalist = Finalist(finalist_id, {4: 0.67, 5: 0.69, 6: 0.68}, {4: 0.65, 5: 0.66, 6: 0.67})
    base = Finalist(BASE_ID, {4: 0.5, 6: 0.52}, {4: 0.4, 6: 0.42})
    return Finals(0, "quick", "recipe", BASE_ID, winner_id or finalist_id, (finalist, base))


class Page(HTMLParser):
    """What a browser would make of a report: tags with their attributes, the text, and whether the tags nest."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)

    def values(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]
