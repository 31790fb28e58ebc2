"""``python -m graphs.report NAME``: rewrites the report of a run, also during the search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.exit_status import report_errors
from graphs.report.html_report import rewrite
from graphs.runtime.stored_runs import find_run, run_folders


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a run and print its path.

    Returns:
        0: written. 2: the folder holds no run, or the report cannot be written.
    """
    parser = Parser(prog="python -m graphs.report", description="Writes the report of a run.")
    parser.add_argument("folder", type=Path, help="name of a run below runs, or a run folder")

    def work() -> int:
        options = parser.parse_args(arguments)
        print(rewrite(_find(options.folder)))
        return 0

    return report_errors(work)


def _find(folder: Path) -> Path:
    """The run folder. A name that is not a folder is looked up in the default runs folder."""
    runs = Path(RunContext.model_fields["runs"].default)
    is_name = not folder.is_dir() and folder.parent == Path() and run_folders(runs)
    return find_run(runs, folder.name) if is_name else folder
