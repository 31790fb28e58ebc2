"""``structure``, ``filter``, ``stats``, ``export``, ``import`` and ``rebuild``, as scripts call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.ideas.attribute_tree import Category, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import Record
from fairnad.settings.search_settings import RunContext
from graphs.cli.knowledge.build import summary_text
from graphs.cli.knowledge_command import main
from prompts.loader import load_pack
from prompts.pack_files import read_attribute_tree
from store.idea_files import read_ideas, write_ideas
from store.run_folder import RunFolder
from tests.graphs.knowledge.papers import PATH, flags, read_papers, write_list
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

TREE = load_pack("vision").attribute_tree
GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
DENSE = Category(Target.EFFICIENCY, Granularity.BLOCK, "dense connectivity for feature reuse")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """Runs a command with ``--json`` and gives what it prints."""

    def run(*given: object) -> dict[str, object]:
        capsys.readouterr()
        assert main(flags(*given, "--json")) == 0
        return json.loads(capsys.readouterr().out)

    return run


def attributes(request: Request) -> Reply:
    """A model that fills every category for every reference, with the flaws the paper tells of."""
    by_target: dict[str, dict[str, dict[str, list[str]]]] = {}
    for category in TREE.categories:
        levels = by_target.setdefault(str(category.target), {}).setdefault(str(category.granularity), {})
        levels[category.main] = [] if category == DENSE else [f"*{category.main} variant*", "grouped convolution"]
    by_target["performance"]["training tricks"] = {"loss functions": ["focal loss"]}
    if "The model is LeViT" in prompt_of(request):
        by_target["performance"]["operation"]["activation"] += ["hardswish", "Normalization"]
    return Reply(f"```json\n{json.dumps(by_target)}\n```")


def test_the_built_in_structurer_fills_all_categories_but_one(
    out: Path, printed: Callable[..., dict[str, object]]
) -> None:
    summary = printed("structure", "--out", out)
    tree = read_attribute_tree(out / "attribute_tree.yaml")
    assert len(summary["models"]) == 14  # type: ignore[arg-type]
    assert summary["problems"] == []
    assert set(tree.categories) == set(TREE.categories)
    assert [category for category, subs in tree.categories.items() if not subs] == [DENSE]
    report = (out / "structuring.md").read_text()
    for heading in ("Overly specific attributes", "Inconsistent categorization", "Missing attributes"):
        section = report.split(f"### {heading}\n")[1].split("###")[0]
        assert "\n- " in section, f"{heading} occurs and is named"


def test_a_language_model_structures_all_references_and_is_cleaned_up_after(
    out: Path, printed: Callable[..., dict[str, object]]
) -> None:
    with ScriptedServer(attributes) as server:
        model = ("--llm.model", "scripted", "--llm.base-url", server.url)
        summary = printed("structure", "--out", out, *model)
        num_requests = server.num_requests
        again = printed("structure", "--out", out, *model)
        assert server.num_requests == num_requests, "no model is asked about twice"
    assert again == summary
    assert num_requests >= 14
    tree = read_attribute_tree(out / "attribute_tree.yaml")
    assert [category for category, subs in tree.categories.items() if not subs] == [DENSE]
    everywhere = [category for category, subs in tree.categories.items() if "grouped convolution" in subs]
    assert len(everywhere) == 1, "an attribute lies in one category"
    kinds = {change["kind"] for change in summary["changes"]}  # type: ignore[index, union-attr]
    assert kinds >= {
        "stray marks taken off",
        "dropped: its category is not in the template",
        "dropped: it names a main category",
        "kept in one category of several",
        "kept, though one model alone has it",
        "no attribute found",
    }


def test_attributes_of_one_model_can_be_dropped(out: Path, printed: Callable[..., dict[str, object]]) -> None:
    few = printed("structure", "--out", out, "--min-models", 2)
    many = printed("structure", "--out", out)
    assert int(str(few["num_sub"])) < int(str(many["num_sub"]))


def test_a_model_whose_reply_is_unusable_is_named_and_the_rest_is_merged(
    out: Path, printed: Callable[..., dict[str, object]]
) -> None:
    def script(request: Request) -> Reply:
        return Reply("I like it.") if "The model is ResNet." in prompt_of(request) else attributes(request)

    with ScriptedServer(script) as server:
        summary = printed("structure", "--out", out, "--llm.model", "scripted", "--llm.base-url", server.url)
    assert [(problem["where"], problem["kind"]) for problem in summary["problems"]] == [  # type: ignore[index, union-attr]
        ("ResNet 0", "unusable reply")
    ]
    assert len(summary["models"]) == 13  # type: ignore[arg-type]


def test_a_structured_tree_is_what_papers_are_read_with(
    tmp_path: Path, out: Path, printed: Callable[..., dict[str, object]]
) -> None:
    printed("structure", "--out", out)
    structured = (out / "attribute_tree.yaml").read_text()
    printed("build", write_list(tmp_path / "papers.jsonl", 4), "--out", out)
    assert (out / "attribute_tree.yaml").read_text() == structured
    tree = read_attribute_tree(out / "attribute_tree.yaml")
    assert tree != TREE
    assert read_ideas(out / "ideas.jsonl", tree)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_verdicts_keep_the_order_and_fields_of_their_rows(
    tmp_path: Path, printed: Callable[..., dict[str, object]]
) -> None:
    papers, verdicts = write_list(tmp_path / "papers.jsonl", 5), tmp_path / "verdicts.jsonl"
    with papers.open("a") as file:
        file.write('{"title": "Paper number 1", "note": "no abstract", "abstract": null}\n{}\n')
    counts = printed("filter", papers, "--out", verdicts)
    assert (counts["num_papers"], counts["num_left"]) == (7, 0)
    given, found = rows(papers), rows(verdicts)
    assert [{name: row[name] for name in before} for before, row in zip(given, found, strict=True)] == given
    assert [row["keep"] for row in found] == [False, True, False, True, False, False, False]
    for row in found:
        assert set(row) - set(given[0]) >= {"keep", "score", "target", "granularity", "main", "sub"}
        assert 0 <= float(str(row["score"])) <= 1
        assert bool(row["main"]) is row["keep"]


def test_a_verdict_depends_on_its_row_alone(tmp_path: Path, printed: Callable[..., dict[str, object]]) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 6)
    printed("filter", papers, "--out", tmp_path / "all.jsonl")
    (tmp_path / "one.jsonl").write_text(papers.read_text().splitlines()[3] + "\n")
    printed("filter", tmp_path / "one.jsonl", "--out", tmp_path / "alone.jsonl")
    assert rows(tmp_path / "alone.jsonl") == [rows(tmp_path / "all.jsonl")[3]]


def test_a_language_model_filters_and_goes_on_where_the_endpoint_left_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    papers, verdicts = write_list(tmp_path / "papers.jsonl", 12), tmp_path / "verdicts.jsonl"
    left = iter(range(5))
    with ScriptedServer(
        lambda request: Reply.error(503, "busy") if next(left, None) is None else read_papers(request)
    ) as server:
        model = flags("--llm.model", "scripted", "--llm.base-url", server.url, "--llm.max-retries", 0)
        assert main(flags("filter", papers, "--out", verdicts, *model)) == 1
    assert "left, because the endpoint did not answer; the same command continues" in capsys.readouterr().out
    assert not verdicts.exists()
    with ScriptedServer(read_papers) as server:
        model = flags("--llm.model", "scripted", "--llm.base-url", server.url)
        assert main(flags("filter", papers, "--out", verdicts, *model)) == 0
        assert server.num_requests == 12 - 5
    assert [row["keep"] for row in rows(verdicts)] == [False, True] * 6
    assert rows(verdicts)[1]["sub"] == "gelu"
    assert not Path(f"{verdicts}.steps").exists()


def test_filter_mistakes_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 1)
    assert main(flags("filter", papers, "--out", papers)) == 2
    assert "is the list of papers; name another file" in capsys.readouterr().err
    papers.write_text("{oops\n")
    assert main(flags("filter", papers, "--out", tmp_path / "out.jsonl")) == 2
    assert "line 1: expected a JSON object" in capsys.readouterr().err


def test_stats_tell_the_spread_of_the_packs_ideas(printed: Callable[..., dict[str, object]]) -> None:
    levels = printed("stats")["levels"]
    main_level = levels["main"]  # type: ignore[index]
    assert main_level["num_categories"] == 15
    assert sum(main_level["counts"].values()) == main_level["num_ideas"] == levels["sub"]["num_ideas"]  # type: ignore[index]
    assert 0 < main_level["entropy"] <= 1
    assert main_level["counts"][main_level["largest"]] == max(main_level["counts"].values())


def test_stats_write_a_chart_with_a_bar_for_each_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ideas(tmp_path / "ideas.jsonl", [Idea("Use GELU in every block", tag=GELU)])
    page = tmp_path / "chart.html"
    assert main(flags("stats", tmp_path / "ideas.jsonl", "--html", page)) == 0
    told = capsys.readouterr().out
    assert "performance / operation / activation" in told
    assert "100.0%" in told
    html = page.read_text()
    for tag in TREE.tags():
        assert tag.main in html
        assert tag.sub in html
    assert html.count("<rect") == 15 + len(list(TREE.tags()))
    assert "http" not in html.replace("http-equiv", ""), "the page needs nothing else"


def test_stats_of_a_run_tell_what_was_tried_valid_and_helpful(
    tmp_path: Path, printed: Callable[..., dict[str, object]]
) -> None:
    runs = tmp_path / "runs"
    folder = RunFolder.open(RunContext(run="test", runs=str(runs)))
    idea = Idea("Use GELU in every block", tag=GELU)
    for number, accuracy in enumerate((0.5, 0.6, 0.4, None)):
        stage = Stage.FAIR if number else Stage.BASE
        place = CandidateId(1 if number else 0, stage, 1, number, 0)
        folder.history.add_record(
            Record(
                candidate_id=str(place),
                parent_id=str(CandidateId(0, Stage.BASE, 1, 0, 0)) if number else "",
                idea=idea if number else Idea("", IdeaKind.NONE),
                source="",
                evaluation=None
                if accuracy is None
                else Evaluation(accuracy, "r", {"params": 1, "flops": 1}, f"f{number}"),
                failure=Failure(Step.EXECUTE, FailureKind.SHAPE, "no") if accuracy is None else None,
            )
        )
    folder.close()
    (entry,) = printed("stats", "--runs", runs, "--run", "test")["yields"]  # type: ignore[misc]
    assert entry["category"] == "performance / operation / activation"
    assert (entry["tried"], entry["valid"], entry["helpful"]) == (3, 2, 1)
    assert entry["mean_gain"] == pytest.approx(0.0)


def test_ideas_go_out_and_come_in_without_being_doubled(
    tmp_path: Path, out: Path, printed: Callable[..., dict[str, object]]
) -> None:
    own = tmp_path / "own.jsonl"
    write_ideas(own, [Idea("Gate the output of every block by its pooled mean", tag=GELU)])
    with ScriptedServer(read_papers) as server:
        model = ("--llm.model", "scripted", "--llm.base-url", server.url)
        papers = write_list(tmp_path / "papers.jsonl", 4)
        printed("build", papers, "--out", out, *model)
        assert printed("import", own, "--out", out)["num_ideas"] == 4
        assert printed("import", own, "--out", out)["num_ideas"] == 4
        assert printed("export", tmp_path / "all.jsonl", "--out", out)["num_ideas"] == 4
        assert printed("import", tmp_path / "all.jsonl", "--out", out)["num_ideas"] == 4
        assert printed("build", papers, "--out", out, *model)["num_ideas"] == 4, "a later build keeps them"
    assert printed("rebuild", "--out", out)["num_ideas"] == 4
    assert PATH.split(" / ")[2] in (tmp_path / "all.jsonl").read_text()


def test_the_command_that_searches_with_what_was_built_can_be_pasted():
    summary = dict.fromkeys(
        ("num_papers", "num_kept", "num_judged", "num_read", "num_extracted", "num_merged", "num_repaired_tags"), 1
    ) | {"num_ideas": 1, "num_left": 0, "dropped": {}, "problems": {}, "examples": []}
    assert summary_text(summary, "my ideas").endswith("python -m graphs.search --ideas 'my ideas'")
