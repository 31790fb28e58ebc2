"""The chat without a language model: what it answers, what it remembers, and that it only reads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fairnad.records.candidate import CandidateId
from graphs.cli.chat_command import main
from prompts.loader import load_pack
from store.idea_files import read_ideas
from tests.graphs.conftest import BASE, BEST, DUPLICATE, FAILED, PARENT, PENDING, made_records

GATE = made_records()[1].idea.idea_id


@pytest.fixture(scope="module")
def starter():
    pack = load_pack("vision")
    return {idea.idea_id: idea for idea in read_ideas(pack.ideas_file, pack.attribute_tree)}


def test_ideas_are_found_by_category_and_year_and_cited(ask, runs, starter):
    told = ask("50 channel attention ideas that cost few FLOPs, from 2019 on")
    expected = {one for one, i in starter.items() if i.tag.sub == "channel attention" and (i.source.year or 0) >= 2019}
    assert len(expected) > 1
    assert set(told["cited"]) == set(told["ideas"]) == expected
    assert told["answer"].startswith(f"{len(expected)} of {len(expected)} ideas (channel attention, from 2019 on; ")
    for idea_id in expected:
        assert f"[{idea_id}] {starter[idea_id].text}" in told["answer"]
        assert starter[idea_id].source.link in told["answer"]
    assert (told["understood"]["preference"], told["understood"]["filters"]["since"]) == ("cheap", 2019)
    assert (told["answered_by"], told["notes"], told["candidates"]) == ("built-in", [], [])


def test_ideas_are_found_by_meaning(ask, runs, starter):
    told = ask("move every 2x2 neighbourhood of pixels into the channel axis")
    assert "2x2 neighbourhood into the channel axis" in starter[told["cited"][0]].text
    assert len(told["cited"]) == 8


def test_where_no_idea_is_of_that_year_the_latest_of_the_kind_are_told(ask, runs, starter):
    told = ask("channel attention of 1999")
    assert told["answer"].startswith(f"No idea of {len(starter)} is channel attention, of 1999. ")
    assert {starter[one].tag.sub for one in told["cited"]} == {"channel attention"}


def test_ideas_are_counted_exactly(ask, runs, starter):
    number = sum(idea.tag.main == "normalization" for idea in starter.values())
    told = ask("how many ideas about normalization are there?")
    assert told["answer"].startswith(f"{number} ideas (normalization) of {len(starter)}:")
    assert told["cited"] == []


def test_similar_ideas_are_close_and_an_unknown_id_is_said(ask, runs, starter):
    first = next(iter(starter))
    told = ask(f"3 ideas similar to {first}")
    assert told["cited"][0] == first
    assert len(told["cited"]) == 4
    assert ask("ideas similar to 000000000001")["answer"] == "The store holds no idea 000000000001."
    assert ask(f"tell me about idea {first}")["cited"] == [first]


def test_a_question_without_a_subject_is_helped_on(ask, runs):
    assert ask("ideas")["answer"].startswith("The question names no subject: ")


def test_why_a_candidate_was_discarded(ask, run_folder):
    told = ask("why was candidate 2 discarded?")
    assert told["cited"][0] == FAILED
    assert (
        f"[{FAILED}] is draw 2 of run made; it was discarded at step execute: shape: 8 is not \\x1b" in told["answer"]
    )
    assert "log: RuntimeError: 8 is not 16" in told["answer"]
    assert set(told["candidates"]) == {FAILED, BASE}
    assert told["ideas"] == [GATE]
    twin = ask(f"why was {DUPLICATE} discarded?")
    assert f"judge: duplicate of [{PARENT}]: the same architecture as {PARENT}" in twin["answer"]
    assert "is not recorded yet" in ask(f"what happened to {PENDING}?")["answer"]


def test_lineage_best_and_difference(ask, run_folder):
    lineage = ask("how did the best candidate come about?")
    assert [line[1:-1] for line in re.findall(r"^\[g\S+\]", lineage["answer"], re.M)] == [BEST, BASE, PARENT, BEST]
    assert "+0.0450 over its parent" in lineage["answer"]
    best = ask("the best candidate so far, and the second best one")
    assert best["candidates"][0] == BEST
    assert f"[{BEST}] won the finals: 0.9300" in best["answer"]
    diff = ask("difference between base and fair-s03-d0")
    assert diff["candidates"] == [BASE, BEST]
    assert "accuracy +0.0250" in diff["answer"]
    assert "params 11.4k → 22.6k (+99%)" in diff["answer"]
    assert "classes added: Gate" in diff["answer"]
    assert "+    width = 9" in diff["answer"]


def test_the_run_as_a_whole(ask, run_folder):
    assert ask("how far is the search?")["answer"].startswith(
        "Run made (digits, seed 0) is running: 2 of 4 trained, 4 draws, 2 discarded, pass rate 0.75 (n=4)."
    )
    helped = ask("which categories helped?")
    assert "1 of 1 main categories that run made tried helped" in helped["answer"]
    assert f"1 of 2 better than their parent, mean gain +0.0125; most by [{BEST}] +0.0450" in helped["answer"]
    assert (helped["candidates"], helped["ideas"]) == ([BEST], [GATE])
    failed = ask("why did candidates fail?")
    assert failed["answer"].startswith("2 of 4 draws of run made were discarded:")
    assert set(failed["candidates"]) == {FAILED, DUPLICATE}
    used = ask("which candidates used sigmoid?")
    assert used["candidates"] == [BEST, PARENT, FAILED, DUPLICATE]
    assert ask("cheapest candidate")["candidates"][0] == PARENT


def test_a_name_that_fits_no_candidate_is_an_answer(ask, run_folder):
    assert ask("lineage of candidate 99")["answer"] == "Run made has no draw 99: 4 draws are recorded."
    assert ask("lineage of g01-fair")["answer"].startswith("G01-fair matches 3 candidates of run made: g01-fair-")
    assert ask("diff base fair-s09")["answer"].startswith("Run made has no candidate fair-s09; did you mean")


def test_what_the_run_made_of_an_idea_is_told_with_it(ask, make_run, runs, tmp_path, starter):
    with make_run() as folder:
        tried = next(iter(starter.values()))
        record = made_records()[1]
        folder.history.add_record(
            type(record)(
                str(CandidateId(2, record.stage, 1, 7, 0)), BASE, tried, "x = 1\n", evaluation=record.evaluation
            )
        )
    told = ask(f"tell me about idea {tried.idea_id}")
    assert "tried in [g02-initial-r1-s07-d0]: accuracy -0.0200 over its parent, cost -3%" in told["answer"]
    assert told["cited"] == ["g02-initial-r1-s07-d0", tried.idea_id]


def test_without_a_run_ideas_are_answered_and_runs_are_not(ask, runs):
    assert ask("the best candidate")["answer"].startswith(f"There is no run in {runs} to ask about")
    assert ask("gelu ideas")["ideas"]


def test_a_broken_run_keeps_nobody_from_asking_about_ideas(ask, runs, capsys):
    (runs / "broken").mkdir(parents=True)
    told = ask("gelu ideas")
    assert told["ideas"]
    assert "Results of a run are left out: expected a run folder, found no settings.toml" in told["answer"]
    assert main(["gelu ideas", "--runs", str(runs), "--run", "broken"]) == 2
    assert capsys.readouterr().err.startswith("error: expected a run folder")


def test_the_run_is_chosen_by_name(ask, make_run, runs, capsys):
    make_run("one", seed=1).close()
    make_run("two", seed=2).close()
    assert "Run one (digits, seed 1)" in ask("status", "--run", "one")["answer"]
    assert main(["status", "--runs", str(runs), "--run", "on"]) == 2
    assert capsys.readouterr().err == f"error: there is no run on in {runs}; did you mean one?\n"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--agents.players", "librarian=llm"],
            "--agents.players librarian=llm: no language model is configured; set --llm.model or --llm.models",
        ),
        (["--ideas", "nowhere.jsonl"], "nowhere.jsonl: expected an idea file, found no such file or directory"),
        (["--jsn"], "unknown flag --jsn; did you mean --json?"),
        (
            ["--embedding.model", "vectors", "--embedding.base-url", "http://127.0.0.1:9/v1"],
            "the 209 ideas are not embedded by vectors yet: run `python -m graphs.search index` with the same flags",
        ),
    ],
)
def test_a_mistake_is_one_line(flags, line, runs, capsys, starter):
    assert main(["gelu", "--runs", str(runs), *flags]) == 2
    assert capsys.readouterr().err == f"error: {line}\n".replace("209", str(len(starter)))


def chat(runs: Path, typed: str, *flags: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "graphs.chat", "--runs", str(runs), *flags]
    if code:
        command = [sys.executable, "-c", code, "--runs", str(runs), *flags]
    temporary = runs.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(temporary)}
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=True, env=environment)


def test_questions_one_after_the_other(run_folder, runs):
    done = chat(runs, "channel attention from 2019 on\n\nand before 2018?\nlineage of candidate 99\nexit\nnot asked\n")
    assert done.stderr.startswith("librarian: built in, no language model (--llm.model sets one); ")
    heads = [line for line in done.stdout.splitlines() if not line.startswith(("[", " "))]
    assert len(heads) == 3
    assert "(channel attention, from 2019 on;" in heads[0]
    assert "(channel attention, up to 2017;" in heads[1]


def test_a_named_thread_is_remembered_by_the_next_process_and_by_no_other(ask, run_folder):
    ask("channel attention from 2019 on", "--thread", "mine")
    assert ask("and before 2018?", "--thread", "mine")["understood"]["filters"]["subs"] == ["channel attention"]
    assert ask("and before 2018?", "--thread", "other")["understood"]["filters"]["subs"] == []
    assert ask("and before 2018?")["understood"]["filters"]["subs"] == []


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


WATCHED = """
import os, sys, tempfile
temporary = os.path.join(tempfile.gettempdir(), "")
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
changing = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree"}

def watch(event, arguments):
    if arguments and str(arguments[0]).startswith(temporary):  # Chroma opens a copy of the index ...
        return
    if event in ("os.remove", "os.rmdir") and arguments[1] != -1:  # ... which is removed relative to its folder
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & writing:
        if str(arguments[0]) != "/dev/null":
            print("CHANGES", event, arguments, flush=True)
    elif event == "sqlite3.connect" and "mode=ro" not in str(arguments[0]):
        print("CHANGES", event, arguments, flush=True)
    elif event in changing:
        print("CHANGES", event, arguments, flush=True)

sys.dont_write_bytecode = True
sys.addaudithook(watch)
from graphs.cli.chat_command import main
sys.exit(main(sys.argv[1:]))
"""

EVERY_KIND = """channel attention from 2019 on
move pixels into channels
ideas similar to {idea}
how many ideas?
why was candidate 2 discarded?
which candidates used gates?
which categories helped?
why did candidates fail?
lineage of the best
diff base best
the best candidates
how far is the search?
delete candidate 2 and add an idea: drop all tables
"""


def test_with_an_index_every_kind_of_question_is_answered_without_opening_anything_for_writing(make_run, runs, starter):
    make_run().close()
    assert main(["move pixels into channels", "--runs", str(runs)]) == 0
    before = contents(runs)
    done = chat(runs, EVERY_KIND.format(idea=next(iter(starter))), code=WATCHED)
    assert "CHANGES" not in done.stdout, done.stdout
    assert done.stdout.count("\n") > 40
    assert contents(runs) == before


def test_a_watched_write_would_be_seen(make_run, runs):
    make_run().close()
    done = chat(runs, "gelu\n", "--thread", "kept", code=WATCHED)
    assert "CHANGES sqlite3.connect" in done.stdout
    assert "CHANGES os.mkdir" in done.stdout
    assert sorted(path.name for path in runs.iterdir()) == [".server", "made"]


def test_a_run_that_is_being_searched_is_read_as_it_is_now(ask, run_folder):
    before = len(run_folder.history.records())
    assert "4 draws" in ask("status")["answer"]
    record = made_records()[3]
    run_folder.history.add_record(
        type(record)(str(CandidateId(2, record.stage, 1, 0, 0)), BASE, record.idea, "", evaluation=record.evaluation)
    )
    assert "5 draws" in ask("status")["answer"]
    assert len(run_folder.history.records()) == before + 1


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom graphs.cli.chat_command import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(sorted(sys.modules))"
    )
    before = os.times().children_user
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--thread NAME" in done.stdout
    for heavy in ("torch", "langgraph", "langchain_core", "chromadb", "sklearn", "openai"):
        assert f"'{heavy}'" not in done.stdout.splitlines()[-1]
    assert os.times().children_user - before < 4  # processor time, and a busy machine counts up to twice of it
