"""The functions for library use, as docs/library.md shows them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.errors import SettingsError, UserError
from fairnad.settings.search_settings import RunContext
from graphs.cli.search_command import main
from graphs.runtime.evaluation import evaluate_file
from graphs.search.running import run_search
from store.history_store import read_history


def test_a_search_runs_and_resumes_and_its_history_can_be_read(
    context: Callable[..., RunContext], tmp_path: Path
) -> None:
    records: list[str] = []
    settings = context(agents__mode="best", archs=1, search__confirm_seeds=1)
    result = run_search(settings, lambda record: records.append(record.candidate_id))
    assert result.outcome == "finished"
    assert result.run_folder == tmp_path / "runs" / "test"
    assert result.result_folder is not None and (result.result_folder / "best.py").is_file()
    assert result.finals is not None
    assert result.history.get(result.finals.winner_id) is not None
    assert records == [record.candidate_id for record in result.history.records]
    assert read_history(result.run_folder).records == result.history.records

    more = run_search(settings.model_copy(update={"archs": 2}))
    assert len(more.history.trained) == 2
    assert more.history.records[: len(records)] == result.history.records


def test_a_search_without_a_terminal_refuses_a_review(context: Callable[..., RunContext]) -> None:
    with pytest.raises(SettingsError, match=r"^review: expected 'none' in a search without a terminal, found 'ideas'$"):
        run_search(context(review="ideas"))


def test_one_file_is_evaluated_on_a_task(context: Callable[..., RunContext], pack: Path, tmp_path: Path) -> None:
    base = pack / "models" / "tiny.py"
    found = evaluate_file(base, context())
    assert found.failure is None
    assert found.report is not None and found.report.costs["params"] == 1506
    assert found.shares and all(share > 0 for share in found.shares.values())
    assert found.evaluation is not None and 0 <= found.evaluation.accuracy <= 1
    assert not (tmp_path / "runs").exists(), "nothing is written"

    broken = tmp_path / "broken.py"
    broken.write_text("class Network: pass\n")
    failed = evaluate_file(broken, context(), trains=False)
    assert failed.failure is not None and failed.report is None and failed.evaluation is None
    with pytest.raises(UserError, match=r"^.*missing\.py: expected a Python source, found No such file"):
        evaluate_file(tmp_path / "missing.py", context())


def test_the_command_evaluates_a_file(pack: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--pack", str(pack), "--no-training"]
    assert main(["evaluate", str(pack / "models" / "tiny.py"), *flags]) == 0
    assert capsys.readouterr().out.startswith("params 1,506, 60% of the limit\n")
    broken = tmp_path / "broken.py"
    broken.write_text("class Network: pass\n")
    assert main(["evaluate", str(broken), *flags, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] is None and found["failure"]["step"] == "execute"
