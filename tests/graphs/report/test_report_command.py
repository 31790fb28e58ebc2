"""What 'python -m graphs.report' writes and refuses."""

import shutil
import subprocess
import sys

import pytest

from fairnad.records.candidate import plain
from fairnad.settings.search_settings import RunContext
from graphs.cli import report_command
from store.run_folder import RunFolder
from tests.graphs.report.histories import CHAIN, PACK, TASKS, THIRD, Page, contents, finals_of


@pytest.fixture
def run_folder(tmp_path):
    """A run with a pack of its own, open and locked as by a running search."""
    pack = tmp_path / "pack"
    shutil.copytree(PACK, pack)
    (pack / "tasks.toml").write_text(TASKS)
    context = RunContext(run="made", runs=str(tmp_path / "runs"), pack=str(pack), image_size=16, archs=4)
    with RunFolder.open(context) as folder:
        for record in CHAIN:
            folder.history.add_record(record)
        folder.history.add_step(THIRD, "finals", 3, {"result": plain(finals_of(THIRD))})
        yield folder


def test_the_command_writes_the_report_of_a_running_search(run_folder, capsys):
    assert report_command.main([str(run_folder.path)]) == 0
    assert capsys.readouterr().out == f"{run_folder.path}/report.html\n"
    text = Page((run_folder.path / "report.html").read_text()).text
    assert "held-out accuracy fresh seeds, mean ± s.d. 0.4100 ± 0.0141 (n=2) 0.6600 ± 0.0100 (n=3)" in text
    assert "flops at most 40k" in text


def test_the_command_takes_the_name_of_a_run(run_folder, monkeypatch, capsys):
    monkeypatch.chdir(run_folder.path.parents[1])
    assert report_command.main(["made"]) == 0
    assert capsys.readouterr().out == "runs/made/report.html\n"
    assert report_command.main(["mode"]) == 2
    assert capsys.readouterr().err == "error: there is no run mode in runs; did you mean made?\n"


def test_the_command_changes_nothing_else_of_a_finished_run(run_folder):
    run_folder.close()
    before = contents(run_folder.path)
    command = [sys.executable, "-m", "graphs.report", str(run_folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACK.parents[1], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{run_folder.path}/report.html\n", "")
    after = contents(run_folder.path)
    assert "report.html" in after
    assert {name: after[name] for name in before} == before


def test_a_folder_that_is_no_run_is_told_in_a_line(tmp_path, capsys):
    assert report_command.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: expected a run folder, found no settings.toml in {tmp_path}\n"


def test_a_run_without_its_history_is_told_in_a_line(run_folder, capsys):
    run_folder.close()
    (run_folder.path / "history.sqlite").unlink()
    assert report_command.main([str(run_folder.path)]) == 2
    assert capsys.readouterr().err == f"error: expected a run folder, found no history.sqlite in {run_folder.path}\n"


def test_a_task_the_pack_has_lost_is_told_in_a_line(run_folder, tmp_path, capsys):
    (tmp_path / "pack" / "tasks.toml").write_text(TASKS.replace("digits", "letters"))
    assert report_command.main([str(run_folder.path)]) == 2
    assert capsys.readouterr().err == "error: the run is of task digits, which the pack vision no longer has\n"
