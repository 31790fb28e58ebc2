"""Whole builds from the command line: what is built, what is counted, and that nothing is done twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fairnad.search.sampling import Fairness
from fairnad.settings.search_settings import RunContext
from graphs.cli.knowledge_command import main
from prompts.loader import load_pack
from store.history_store import SqliteHistory
from tests.graphs.knowledge.papers import PATH, flags, ideas_in, is_filter, number_of, read_papers, write_list
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of
from tests.tools.papers.pdfs import pdf
from tests.tools.papers.site import METHOD_LINES, Site


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "store"


def summary_of(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out)


def model(server: ScriptedServer, *more: object) -> list[object]:
    return ["--llm.model", "scripted", "--llm.base-url", server.url, "--llm.max-retries", 0, *more]


def test_a_language_model_builds_a_store_that_a_search_uses(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from graphs.runtime.idea_base import load_ideas

    papers = write_list(tmp_path / "papers.jsonl", 6)
    with ScriptedServer(read_papers) as server:
        assert main(flags("build", papers, "--out", out, "--json", *model(server))) == 0
        summary = summary_of(capsys)
        assert server.num_requests == 6 + 3
        assert main(flags("build", papers, "--out", out, *model(server))) == 0
        assert server.num_requests == 9, "a finished build asks nothing"
    assert summary["num_papers"] == 6
    assert summary["num_kept"] == summary["num_read"] == 3
    assert (summary["num_extracted"], summary["num_ideas"], summary["num_merged"]) == (6, 4, 2)
    common = next(idea for idea in ideas_in(out) if "part" not in str(idea["text"]))
    assert len(common["also"]) == 2, "a merged idea keeps all sources"
    ideas = load_ideas(RunContext(ideas=str(out)), load_pack("vision"))
    assert len(ideas) == 4
    assert all(idea.source.section == "abstract" and idea.source.year == 2023 for idea in ideas)
    assert "papers are read by: scripted" in capsys.readouterr().out


def test_the_built_in_reader_builds_from_files_a_web_site_and_arxiv(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.pdf").write_bytes(
        pdf("Gated Convolution Blocks", "Abstract", "We propose a gated convolution block with channel attention",
            "and multi-scale fusion.", "1. Introduction", "Long ago.", "3. Method", *METHOD_LINES, "4. Experiments")
    )  # fmt: skip
    with Site() as site:
        sources = [tmp_path / "one.pdf", f"{site.root}/CVPR2023?day=all", "arxiv:2201.03545", "arxiv:9999.99999"]
        monkeypatch.setattr("graphs.knowledge.services.REQUEST_SECONDS", 0.0)
        monkeypatch.setattr("tools.papers.sites.ARXIV_INTERFACE", f"{site.root}/api/query")
        command = flags("build", *sources, "--out", out, "--json")
        assert main(command) == 0
        visits = dict(site.visits)
        summary = summary_of(capsys)
        assert main(command) == 0
        assert dict(site.visits) == visits, "nothing is fetched twice, in the next start either"
    assert (summary["num_papers"], summary["num_kept"]) == (4, 3)
    assert summary["problems"] == {"not found": 1}
    titles = {str(idea["source"]["title"]) for idea in ideas_in(out)}  # type: ignore[index]
    assert titles <= {"Gated Convolution Blocks", "Gated Blocks for Networks", "A ConvNet for the 2020s"}
    assert "3. Method" in {str(idea["source"]["section"]) for idea in ideas_in(out)}  # type: ignore[index]


def test_everything_that_goes_wrong_is_counted_and_named_and_never_fatal(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\ngarbage")
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "plain.txt").write_text("A Paper number 1\n\nAbstract\nGates.\n\nGates and how they open.\n" * 3)
    papers = write_list(tmp_path / "papers.jsonl", 8)

    def script(request: Request) -> Reply:
        if is_filter(request):
            return Reply("What a paper!") if number_of(request) == 3 else read_papers(request)
        if number_of(request) == 5:
            return Reply("- Use GELU in an invented place | losses / training / focal loss / gamma\n- Short | x")
        return read_papers(request)

    with ScriptedServer(script) as server:
        sources = [tmp_path / name for name in ("broken.pdf", "empty.pdf", "none.pdf", "plain.txt")]
        assert main(flags("build", *sources, papers, "--out", out, *model(server))) == 0
    told = capsys.readouterr().out
    assert "cannot be read: 1" in told
    assert "empty: 1" in told
    assert f"not found: 1 ({tmp_path}/none.pdf: the file is missing)" in told
    assert "without a method section: 1" in told
    assert "unusable reply: 1 (Paper number 3: the reply gives no answer)" in told
    assert "dropped: 1 (no category of the tree)" in told
    assert "dropped: 1 (fifty words or more)" in told
    rows = [json.loads(line) for line in (out / "papers.jsonl").read_text().splitlines()]
    assert {row["title"]: row["outcome"] for row in rows if row["title"].startswith("Paper")} == {
        "Paper number 0": "discarded",
        "Paper number 1": "read",
        "Paper number 2": "discarded",
        "Paper number 3": "unusable reply",
        "Paper number 4": "discarded",
        "Paper number 5": "read",
        "Paper number 6": "discarded",
        "Paper number 7": "read",
    }


def test_a_storm_of_429_leaves_the_rest_for_the_next_start(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 30)
    answered = iter(range(10))
    with ScriptedServer(
        lambda request: Reply.error(429, "slow down") if next(answered, None) is None else read_papers(request)
    ) as server:
        command = flags("build", papers, "--out", out, "--llm.concurrency", 2, *model(server))
        assert main(command) == 1
        assert server.num_requests < 25, "an endpoint that is gone is not asked for every paper"
    told = capsys.readouterr().out
    assert "endpoint did not answer: " in told
    assert "slow down" in told
    assert "left for the next start: " in told
    with ScriptedServer(read_papers) as server:
        assert main(flags("build", papers, "--out", out, "--json", *model(server))) == 0
        assert server.num_requests <= 30 + 15 - 10, "what was answered is not asked again"
    assert summary_of(capsys)["num_left"] == 0
    assert len(ideas_in(out)) == 16


def test_killed_at_any_moment_it_goes_on_without_reading_a_paper_twice(tmp_path: Path, out: Path) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 24)
    generator = random.Random(7)
    with ScriptedServer(read_papers) as server:
        command = [sys.executable, "-m", "graphs.knowledge", "build", str(papers), "--out", str(out)]
        command += flags("--llm.concurrency", 3, *model(server))
        kept: dict[str, int] = {}
        for _ in range(2):
            wanted = server.num_requests + generator.randint(3, 9)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                assert server.wait_until_asked(wanted, timeout_seconds=60)
                process.send_signal(signal.SIGKILL)
            kept |= {prompt: server.asked[prompt] for prompt in stored_prompts(out) if prompt not in kept}
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        assert len(server.asked) == 24 + 12
        assert {prompt: server.asked[prompt] for prompt in kept} == kept, "a stored answer is not asked for again"
        assert max(server.asked.values()) <= 3, "only what was under way when it was killed is asked again"
    texts = [str(idea["text"]) for idea in ideas_in(out)]
    assert len(texts) == len(set(texts)) == 13


def stored_prompts(folder: Path) -> list[str]:
    """The prompts whose answers a killed build had stored."""
    if not (folder / "steps.sqlite").exists():
        return []
    with closing(SqliteHistory(folder / "steps.sqlite", read_only=True)) as steps:
        messages = [answer.messages for _, answer in steps.answers()]
    return ["\n\n".join(f"[{role}]\n{text}" for role, text in entry) for entry in messages]


def test_a_stop_at_the_terminal_ends_with_130_and_can_be_resumed(tmp_path: Path, out: Path) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 12)
    with ScriptedServer(read_papers) as server:
        command = [sys.executable, "-m", "graphs.knowledge", "build", str(papers), "--out", str(out)]
        command += flags("--llm.concurrency", 1, *model(server))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert server.wait_until_asked(3, timeout_seconds=60)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "the same command continues" in errors
        assert main(command[3:]) == 0


def test_other_settings_do_not_fit_what_was_read(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 2)
    assert main(flags("build", papers, "--out", out)) == 0
    capsys.readouterr()
    with ScriptedServer(read_papers) as server:
        assert main(flags("build", papers, "--out", out, *model(server))) == 2
    assert "was started with other settings: reader (was built-in, now scripted)" in capsys.readouterr().err
    assert main(flags("build", papers, "--out", out, "--unstructured", "true")) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --tree none: expected a language model as the reader, found the built-in reader")


def test_more_papers_can_be_added_later(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(read_papers) as server:
        first = write_list(tmp_path / "a.jsonl", 4)
        assert main(flags("build", first, "--out", out, *model(server))) == 0
        more = write_list(tmp_path / "b.jsonl", 8)
        capsys.readouterr()
        assert main(flags("build", more, "--out", out, "--json", *model(server))) == 0
        assert server.num_requests == 8 + 4
    assert summary_of(capsys)["num_papers"] == 8


def test_two_processes_do_not_build_in_one_folder(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from store.knowledge_folder import KnowledgeFolder

    papers = write_list(tmp_path / "papers.jsonl", 2)
    with closing(KnowledgeFolder.open(out)):
        assert main(flags("build", papers, "--out", out)) == 2
    assert "is being built by another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["build", "--out", "OUT"], "expected papers to read, found none"),
        (["build", "none.pdf", "--out", "OUT"], "none.pdf: not found"),
        (["build", "x.pdf", "--ouy", "OUT"], "unknown flag --ouy; did you mean --out?"),
        (["bild", "--out", "OUT"], "unknown command bild; did you mean build?"),
        (["build", "x.pdf", "--out", "OUT", "--papers-at-once", "3"], "llm.concurrency sets the number of parallel"),
        (["build", "x.pdf", "--out", "OUT", "--agents.players", "reader=llm"], "no language model is configured"),
        (
            ["build", "x.pdf", "--out", "OUT", "--config", "none.toml"],
            "--config: expected a TOML file, found no file none.toml",
        ),
        (["build", "x.pdf", "--out", "OUT", "--tree", "none.yaml"], "none.yaml: expected this file"),
        (["build", "x.pdf", "--out", "OUT", "--pack", "none"], "pack 'none'"),
        (["stats", "none"], "found nothing at none"),
    ],
)
def test_mistakes_get_one_line(out: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str) -> None:
    assert main([part.replace("OUT", str(out)) for part in given]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_settings_come_from_the_environment_and_a_file_too(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 2)
    with ScriptedServer(read_papers) as server:
        (tmp_path / "settings.toml").write_text(
            f'out = "{out}"\n[llm]\nmodel = "from-file"\nbase_url = "{server.url}"\n'
        )
        monkeypatch.setenv("FAIRNAD_LLM__MODEL", "from-variable")
        assert main(flags("build", papers, "--config", tmp_path / "settings.toml")) == 0
    assert "papers are read by: from-variable" in capsys.readouterr().out
    monkeypatch.setenv("FAIRNAD_LLM__MODLE", "x")
    assert main(flags("build", papers, "--out", out)) == 2
    assert "FAIRNAD_LLM__MODLE; did you mean FAIRNAD_LLM__MODEL?" in capsys.readouterr().err
    monkeypatch.delenv("FAIRNAD_LLM__MODLE")
    (tmp_path / "settings.toml").write_text("[llm]\nmodle = 1\n")
    assert main(flags("build", papers, "--config", tmp_path / "settings.toml")) == 2
    assert "unknown setting llm.modle; did you mean llm.model?" in capsys.readouterr().err


def test_help_needs_no_heavy_package() -> None:
    program = (
        "import sys, contextlib\nfrom graphs.cli.knowledge_command import main\n"
        "for given in (['--help'], ['build', '--help']):\n"
        "    with contextlib.suppress(SystemExit):\n        main(given)\n"
        "heavy = {'torch', 'langgraph', 'chromadb', 'sklearn', 'httpx', 'pypdf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "--llm.base-url" in told
    assert "structure" in told


def test_unstructured_ideas_never_see_the_tree_and_are_tagged_afterwards(tmp_path: Path, out: Path) -> None:
    papers = write_list(tmp_path / "papers.jsonl", 2)

    def script(request: Request) -> Reply:
        assert "network structural patterns" not in prompt_of(request)
        if is_filter(request):
            return Reply("##response## yes" if number_of(request) % 2 else "##response## no")
        return Reply("- Replace every ReLU of the network by GELU")

    with ScriptedServer(script) as server:
        assert main(flags("build", papers, "--out", out, "--tree", "none", *model(server))) == 0
    assert [idea["main"] for idea in ideas_in(out)] == ["activation"]
    rows = [json.loads(line) for line in (out / "papers.jsonl").read_text().splitlines()]
    assert sorted(row["keep"] for row in rows) == [False, True]


def test_the_store_draws_fairly(tmp_path: Path, out: Path) -> None:
    from store.idea_files import read_ideas
    from store.idea_store import ChromaIdeaStore
    from tools.embedder import HashedEmbedder

    papers = write_list(tmp_path / "papers.jsonl", 4)
    with ScriptedServer(read_papers) as server:
        assert main(flags("build", papers, "--out", out, *model(server))) == 0
    ideas = read_ideas(out / "ideas.jsonl", load_pack("vision").attribute_tree)
    store = ChromaIdeaStore(out / ".index", ideas, HashedEmbedder())
    assert store.is_indexed(), "the index is built with the store"
    assert dict(store.counts(Fairness.MAIN)) == {tuple(PATH.split(" / ")[:3]): 3}
