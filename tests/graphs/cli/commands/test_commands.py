"""show, diff, best and runs: what they print, and that they only read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fairnad.errors import RunFolderError, SettingsError
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import CallKey, Proposal
from fairnad.records.candidate import Call, plain
from fairnad.records.prices import Usage
from graphs.cli.search_command import main
from graphs.report.result_folder import publish_result
from graphs.runtime.stored_runs import find_run, open_run
from store.history_store import FILE_NAME
from store.result_files import pack
from store.run_folder import RunFolder
from tests.graphs.conftest import (
    BASE,
    BEST,
    BEST_SOURCE,
    DUPLICATE,
    FAILED,
    FINALS,
    NUM_TRAINED,
    PARENT,
    PENDING,
    trained,
)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def ask(runs: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command and gives what it prints."""

    def run(*arguments: str, status: int = 0) -> str:
        assert main([*arguments, "--runs", str(runs)]) == status
        output = capsys.readouterr()
        assert output.err == ("" if status == 0 else output.err)
        return output.out if status == 0 else output.err

    return run


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("show_best", ["show", "best"]),
        ("show_base", ["show", "base"]),
        ("show_failed", ["show", "initial-s01"]),
        ("show_duplicate", ["show", DUPLICATE]),
        ("show_pending", ["show", "d1"]),
        ("diff", ["diff", PARENT, BEST]),
        ("diff_failed", ["diff", "base", "initial-s1"]),
        ("best", ["best"]),
    ],
)
def test_what_a_person_reads(name, arguments, ask, golden, run_folder):
    golden(GOLDEN / f"{name}.txt", ask(*arguments))


def test_the_runs_in_a_table_with_the_newest_first(make_run, runs, ask, golden, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    make_run("older", seed=3).close()
    os.utime(runs / "older" / FILE_NAME, (1_700_000_000, 1_700_000_000))
    done = make_run("done", task="fashion-mnist", max_params=1e6)
    done.history.set_status("stalled")
    done.close()
    os.utime(runs / "done" / FILE_NAME, (1_700_100_000, 1_700_100_000))
    (runs / "broken").mkdir()
    (runs / "broken" / "settings.toml").write_text("task = 3\n")
    (runs / ".ideas").mkdir()
    golden(GOLDEN / "runs.txt", ask("runs"))


def spend(run: RunFolder) -> None:
    """What three requests came to, one of them still open, and a candidate whose call had a price."""
    for number, candidate_id in enumerate((FAILED, FAILED, PENDING), 1):
        key = CallKey(candidate_id, "mutation", 0, number, "abc")
        run.ledger.reserve(number, key, "qwen3-8b", Usage(2000, 8192, 0.02))
    run.ledger.settle(1, Usage(1234, 812, 0.003), "")
    run.ledger.settle(2, Usage(2000, 900, 0.004), "")
    run.ledger.note_work(run.ledger.begin_work(), 61.0)
    call = Call("idea_mutation", "large", 3000, 500, 9.0, True, usd=0.0125)
    refined = "g01-refine-r1-s00-d0"
    run.history.add_record(
        trained(refined, BEST, 0.93, 22_650, Idea("Wider.", IdeaKind.MUTATED), source="", calls=(call,))
    )


def test_what_was_spent_by_role_stage_model_and_candidate(make_run, ask, golden):
    with make_run() as run:
        spend(run)
        golden(GOLDEN / "ledger.txt", ask("ledger"))


def test_what_was_spent_for_programs(make_run, ask):
    with make_run() as run:
        spend(run)
        told = json.loads(ask("ledger", "--json"))
    assert told["run"] == "made"
    assert told["by_role"]["mutation"] == {
        "num_calls": 1,
        "num_failed": 0,
        "input_tokens": 1234,
        "output_tokens": 812,
        "usd": 0.0,
        "seconds": 4.1,
    }
    assert {stage: one["num_calls"] for stage, one in told["by_stage"].items()} == {"initial": 2, "refine": 1}
    assert {model: one["usd"] for model, one in told["by_model"].items()} == {"large": 0.0125, "qwen3-8b": 0.0}
    assert told["by_candidate"] == {
        FAILED: {"tokens": 4946, "usd": 0.0},
        "g01-refine-r1-s00-d0": {"tokens": 3500, "usd": 0.0125},
    }
    assert told["sent"] == {
        "num_requests": 3,
        "num_open": 1,
        "tokens": 1234 + 812 + 2000 + 900 + 2000 + 8192,
        "usd": pytest.approx(0.027),
        "worked_seconds": 61.0,
    }


def test_a_run_without_calls_has_an_empty_ledger(make_context_run, ask):
    make_context_run("empty").close()
    assert ask("ledger") == (
        "no recorded candidate used a language model\n\nsent: 0 requests; 0 tokens\n"
        "working time: 0s, all starts together\n"
    )


def test_every_golden_file_is_compared():
    names = {"show_best", "show_base", "show_failed", "show_duplicate", "show_pending", "diff", "diff_failed", "best"}
    assert {file.stem for file in GOLDEN.glob("*.txt")} == names | {"runs", "ledger"}


def test_show_tells_what_was_validated_before_the_last_epoch(make_run, ask):
    run = make_run("curious")
    record = trained("g01-fair-r1-s07-d0", BASE, 0.9, 100, Idea("", IdeaKind.NONE), source="x = 1\n")
    curve = ((5, 0.25), (10, 0.75))
    run.history.add_record(replace(record, evaluation=replace(record.evaluation, curve=curve)))
    run.close()
    assert "curve    0.2500 after 5, 0.7500 after 10\n" in ask("show", "s07", "--run", "curious")
    assert json.loads(ask("show", "s07", "--run", "curious", "--json"))["record"]["curve"] == [[5, 0.25], [10, 0.75]]


def test_show_for_programs(ask, run_folder):
    shown = json.loads(ask("show", "best", "--json"))
    assert (shown["run"], shown["candidate_id"], shown["is_recorded"]) == ("made", BEST, True)
    assert shown["record"]["accuracy"] == 0.925
    assert "source" not in shown["record"]
    assert shown["source"] == BEST_SOURCE
    assert shown["limits"] == {"params": 45_000, "flops": 1_800_000}
    assert shown["shares"] == {"params": 22_650 / 45_000, "flops": 906_000 / 1_800_000}
    assert shown["gain"] == pytest.approx(0.045)
    assert (shown["rank"], shown["children"]) == (1, [])
    assert shown["steps"][0] == {"step": "mutate 0", "result": "a gate behind every block"}
    pending = json.loads(ask("show", PENDING, "--json"))
    assert (pending["is_recorded"], pending["record"], pending["source"]) == (False, None, "pending = 1\n")


def test_diff_for_programs(ask, run_folder):
    told = json.loads(ask("diff", PARENT, BEST, "--json"))
    assert (told["from"]["candidate_id"], told["to"]["accuracy"]) == (PARENT, 0.925)
    assert told["accuracy"] == pytest.approx(0.045)
    assert told["costs"] == {"params": 11_650, "flops": 466_000}
    assert (told["classes_added"], told["classes_removed"]) == (["Gate"], [])
    assert "+    width = 9" in told["diff"].splitlines()
    failed = json.loads(ask("diff", BASE, FAILED, "--json"))
    assert (failed["accuracy"], failed["costs"], failed["to"]["failure"]["kind"]) == (None, {}, "shape")


def test_a_diff_can_be_applied(ask, run_folder, tmp_path):
    source = tmp_path / "parent.py"
    if shutil.which("patch") is None:
        pytest.skip("there is no patch program here")
    source.write_text(run_folder.history.find_record(PARENT).source)
    printed = ask("diff", PARENT, BEST)
    subprocess.run(["patch", "--quiet", source], input=printed, text=True, check=True)
    assert source.read_text() == BEST_SOURCE


def test_best_for_programs(ask, run_folder):
    told = json.loads(ask("best", "--json"))
    assert (told["run"], told["state"], told["candidate_id"]) == ("made", "running", BEST)
    assert (told["num_trained"], told["archs"]) == (2, 4)
    assert (told["validation"], told["held_out"]) == ([0.92, 0.94], [0.91, 0.93])
    assert told["over_base"] == pytest.approx(0.025)
    assert told["base"] == {"accuracy": 0.9, "validation": [0.9, 0.88], "held_out": [0.89, 0.87]}
    assert [ancestor["candidate_id"] for ancestor in told["lineage"]] == [BASE, PARENT, BEST]
    assert told["lineage"][0]["gain"] is None


def test_show_tells_what_was_discarded_and_why(ask, run_folder):
    proposal = Proposal(
        "x = 1\n", "", note="built-in: smaller", discarded="m: over a limit: 50,000 params (limit 45,000)"
    )
    run_folder.history.add_step(PENDING, "downscale", 2, {"result": plain(proposal)})
    told = ask("show", PENDING)
    assert f"downscale 2  built-in: smaller; not taken: {proposal.discarded}" in told


def test_runs_for_programs(ask, make_run, runs):
    assert json.loads(ask("runs", "--json")) == {"runs": []}
    assert ask("runs") == f"no runs in {runs}\n"
    make_run().close()
    (runs / "junk").mkdir()
    made, junk = json.loads(ask("runs", "--json"))["runs"]
    assert (made["run"], made["designer"], made["num_trained"], made["state"]) == ("made", "built-in", 2, "stopped")
    assert (made["best_id"], made["best_by"], made["best_accuracy"]) == (BEST, "finals", 0.925)
    assert junk == {"run": "junk", "error": f"expected a run folder, found no settings.toml in {runs / 'junk'}"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "fair"], f"fair matches 3 candidates of run made: {DUPLICATE}, {BEST}, {PENDING}; use a longer part"),
        (["show", "fair-s4"], f"run made has no candidate fair-s4; did you mean {PENDING}?"),
        (["show", "fiar-s03"], f"run made has no candidate fiar-s03; did you mean {PENDING}?"),
        (["show", "?"], "run made has no candidate ?; it has 6"),
        (["show", "banana"], "run made has no candidate banana; it has 6"),
        (["show", "g00-banana-r1-s00-d0"], "run made has no candidate g00-banana-r1-s00-d0; it has 6"),
        (["show", "42"], "run made has no candidate 42; it has 6"),
        (["show", "best", "--run", "mad"], "there is no run mad in RUNS; did you mean made?"),
        (["show", "best", "--run", "other"], "there is no run other in RUNS; there are made"),
        (["diff", "base", PENDING], f"{PENDING} of run made is not recorded yet; `show` prints its progress"),
        (["show"], "the following arguments are required: ID"),
        (["best", "--runz", "x"], "unknown flag --runz; did you mean --run?"),
        (["bset"], "unknown command bset; did you mean best?"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments, message, ask, run_folder, runs):
    assert ask(*arguments, status=2) == f"error: {message.replace('RUNS', str(runs))}\n"


def test_runs_and_best_mean_the_same_candidate_before_the_finals_and_after_them(ask, make_run):
    with make_run() as run:
        ahead = trained("g01-fair-r1-s07-d0", BASE, 0.99, 100, Idea("", IdeaKind.NONE), source="x = 1\n")
        run.history.add_record(ahead)
        for best_by, best_id in (("search", ahead.candidate_id), ("finals", BEST)):
            assert json.loads(ask("runs", "--json"))["runs"][0]["best_id"] == best_id
            told = json.loads(ask("best", "--json"))
            assert (told["candidate_id"], told["best_by"]) == (best_id, best_by)
            run.history.add_step(BEST, "finals", NUM_TRAINED + 1, {"result": plain(FINALS)})
        assert f"best  {BEST}  (winner of the finals)\n" in ask("best")
        assert " 0.9250* " in ask("runs")


def test_without_a_run_there_is_nothing_to_show(ask, runs):
    error = ask("best", status=2)
    assert error == f"error: expected run folders in {runs}, found none: start a search, or set --runs\n"


def test_a_run_in_which_nothing_has_trained_has_no_best(ask, runs, make_context_run):
    make_context_run("empty").close()
    assert ask("best", status=2) == "error: nothing has trained yet in run empty\n"


@pytest.fixture
def make_context_run(runs):
    """Makes a run that has not recorded anything."""
    from fairnad.settings.search_settings import RunContext

    return lambda name: RunFolder.open(RunContext(run=name, runs=str(runs)))


def test_a_short_id_is_parts_in_their_order_and_numbers_need_no_zeros(run_folder):
    with open_run(run_folder.path) as run:
        for text in (BEST, "fair-s03-d0", "g1-s3-d0", "FAIR-s3-d0", "best"):
            assert run.find(text) == BEST
        assert run.find("base") == BASE
        for text in ("s3-fair-d0", "d0-s3", "fair-", "", "fair-s03-d00000x"):
            with pytest.raises(SettingsError, match="has no candidate"):
                run.find(text)


def test_the_run_that_was_worked_on_last_is_meant(make_run, runs):
    for number, name in enumerate(("b", "a", "c")):
        make_run(name).close()
        os.utime(runs / name / FILE_NAME, (1_700_000_000 + number % 2, 1_700_000_000 + number % 2))
    assert find_run(runs, "").name == "a"
    assert find_run(runs, "c").name == "c"
    with pytest.raises(RunFolderError, match="there is no run d in"):
        find_run(runs, "d")


def test_variables_of_a_search_hold_here_too(run_folder, runs, monkeypatch, capsys):
    monkeypatch.setenv("FAIRNAD_RUNS", str(runs))
    monkeypatch.setenv("FAIRNAD_RUN", "made")
    assert main(["best", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "made"


def test_limits_that_cannot_be_told_any_more_do_not_keep_a_run_from_being_shown(make_run, ask, tmp_path):
    pack = tmp_path / "pack"
    shutil.copytree("prompts/vision", pack)
    make_run(pack=str(pack)).close()
    shutil.rmtree(pack)
    assert "the limits are unknown: pack " in ask("best")
    assert "params         22,650\n" in ask("show", "best")


@pytest.mark.parametrize("command", [["show", "best"], ["diff", "base", "best"], ["best"], ["runs"]])
def test_a_command_answers_fast_writes_nothing_and_loads_nothing_heavy(command, make_run, runs):
    make_run().close()
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    code = (
        "import sys; from graphs.cli.search_command import main\n"
        f"status = main({[*command, '--runs', str(runs)]!r})\nprint(sorted(sys.modules), status)"
    )
    before_user = os.times().children_user
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0\n")
    for heavy in ("torch", "langgraph", "chromadb", "langchain_core", "openai", "sklearn"):
        assert f"'{heavy}'" not in done.stdout
    assert os.times().children_user - before_user < 4  # processor time, and a busy machine counts up to twice of it
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_a_reader_that_leaves_early_is_no_error(run_folder, runs):
    command = f"{sys.executable} -m graphs.search show best --runs {runs} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [BEST, "0"]
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["best"], ["show", "best"], ["runs"], ["diff", "base", "best"]])
def test_on_a_terminal_of_80_columns_there_are_colours_and_nothing_is_cut(command, run_folder, runs, on_terminal):
    printed = on_terminal(["-m", "graphs.search", *command, "--runs", str(runs)], 80)
    assert "\x1b[" in printed
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert "…" not in plain
    assert all(len(line) <= 80 for line in plain.splitlines())
    if command != ["runs"]:
        assert BEST in plain.split()


def test_what_candidates_failed_by(ask, run_folder):
    told = ask("failures")
    assert "passed: reply 4/4, execution 3/4, budget 3/3, structure 2/3" in told
    assert "shape mismatch 1" in told
    report = json.loads(ask("failures", "--json"))
    assert report["pass_rate"] == {"num_valid": 3, "num_draws": 4}
    assert {
        "step": "execute",
        "kind": "shape",
        "paper": "shape mismatch",
        "num_met": 1,
        "num_mended": 0,
        "num_final": 1,
    } in (report["kinds"])


def test_the_stored_result_is_written_as_a_folder_wherever_it_is_wanted(ask, runs, run_folder, tmp_path):
    out = tmp_path / "mine"
    refused = ask("best", "--out", str(out), status=2)
    assert "expected a finished search with a result, found none in" in refused
    files = {"best.py": b"print()", "best.safetensors": bytes(9)}
    pack(run_folder.path / "result.zip", files)
    assert "result is stored; --out DIR writes it as a folder" in ask("best")
    assert f"result {out}  (python {out}/best.py image.jpg)" in ask("best", "--out", str(out))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    assert publish_result(run_folder.path) == run_folder.path / "result"
    assert f"result {run_folder.path}/result\n" in ask("best")
    added = trained("g01-fair-r1-s07-d0", BASE, 0.9, 100, Idea("", IdeaKind.NONE), source="x = 1\n")
    run_folder.history.add_record(added)
    refused = ask("best", "--out", str(tmp_path / "another"), status=2)
    assert "--out: a candidate was trained after the finals of " in refused
