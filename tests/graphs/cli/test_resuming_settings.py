"""A run goes on by its name alone, with the settings and the pack it was begun with."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from graphs.cli.doctor.stores import examine_stores
from graphs.cli.search_command import main, parse
from graphs.runtime.stored_runs import find_run
from prompts.loader import load_pack
from store.history_store import FILE_NAME
from store.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def named(runs: Path) -> list[str]:
    """The flags that name the run, and no more."""
    return ["--run", "made", "--runs", str(runs)]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack of the user's own, to be edited."""
    return Path(shutil.copytree("prompts/vision", tmp_path / "mine"))


def test_the_settings_of_a_run_come_from_its_folder(make_run: MakeRun, named, runs, monkeypatch):
    make_run(seed=7, epochs=3, limit={"usd": 2.0}).close()
    context = parse(named)
    assert (context.seed, context.epochs, context.max_params, context.limit.usd) == (7, 3, 45_000, 2)
    assert (context.run, context.runs, context.archs) == ("made", str(runs), 4)
    monkeypatch.setenv("FAIRNAD_RUN", "made")
    changed = parse(["--runs", str(runs), "--archs", "9", "--limit.usd", "5"])
    assert (changed.seed, changed.archs, changed.limit.usd) == (7, 9, 5)
    shutil.move(runs, runs.with_name("elsewhere"))
    assert parse(["--runs", str(runs.with_name("elsewhere"))]).runs == str(runs.with_name("elsewhere"))


def test_a_name_that_is_new_or_no_name_brings_nothing(make_run: MakeRun, runs):
    make_run(seed=7).close()
    for name in ("other", "../runs/made"):
        assert parse(["--run", name, "--runs", str(runs)]).seed == 0


@pytest.mark.parametrize(
    ("begun_with", "given", "told"),
    [
        ({}, ["--seed", "5"], "--seed (was 0, now 5)"),
        ({"llm": {"model": "a"}}, ["--llm.models", '[{"model": "b"}]'], "--llm.model (was a, now b)"),
        ({"llm": {"models": [{"model": "b"}]}}, ["--llm.model", "a"], "--llm.model (was b, now a)"),
    ],
)
def test_what_may_not_change_is_refused_as_ever(make_run: MakeRun, named, capsys, begun_with, given, told):
    make_run(**begun_with).close()
    assert main([*named, *given, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "was started with other settings: " in error
    assert told in error


def test_a_pack_that_was_edited_is_refused_and_as_it_was_goes_on(make_run: MakeRun, named, runs, pack, capsys):
    with make_run(pack=str(pack)) as run:
        loaded = load_pack(str(pack))
        run.history.note_pack(loaded.digest, loaded.files)
    prompt = pack / "mutation.md"
    before = prompt.read_bytes()
    prompt.write_bytes(before + b"\nBe bold.\n")
    (pack / "_more.md").write_text("More.")
    for name in ("NOTES.txt", "mutation.md~"):
        (pack / name).write_text("nothing of the pack")
    for flags in (named, [*named, "--dry-run"]):
        assert main(flags) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error == (
            f"error: {runs / 'made'} was started with other files of pack vision: in {pack}, "
            "_more.md is new, mutation.md has changed; "
            "resume it with the original files, or choose another --run"
        )
    (finding,) = (one for one in examine_stores(parse(named)) if one.part == "run")
    assert (finding.health, "other files of pack" in finding.found) == ("FAIL", True)
    prompt.write_bytes(before)
    (pack / "_more.md").unlink()
    main([*named, "--dry-run"])
    assert "other files of pack" not in capsys.readouterr().err


def test_a_run_from_before_the_pack_was_noted_goes_on(make_run: MakeRun, named, runs, capsys):
    make_run().close()
    with sqlite3.connect(find_run(runs, "made") / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM meta WHERE name = 'pack digest'").fetchone() == (0,)
    main(named)  # its records are of another recipe, which is said after the pack has been looked at
    assert "was trained by recipe 24455aa1c67d" in capsys.readouterr().err
    with sqlite3.connect(runs / "made" / FILE_NAME) as connection:
        (digest,) = connection.execute("SELECT value FROM meta WHERE name = 'pack digest'").fetchone()
    assert digest == load_pack("vision").digest


def test_a_pack_may_be_mended_until_the_first_record(runs, pack):
    from fairnad.settings.search_settings import RunContext
    from graphs.runtime.assembly import _settle_pack

    with RunFolder.open(RunContext(run="new", runs=str(runs))) as folder:
        _settle_pack(folder, load_pack(str(pack)))
        (pack / "mutation.md").write_text((pack / "mutation.md").read_text() + "\nBe bold.\n")
        _settle_pack(folder, load_pack(str(pack)))
        assert folder.history.pack_digest() == load_pack(str(pack)).digest
