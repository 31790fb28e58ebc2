"""``add-idea "TEXT" --tag "performance/operation/activation"``: adds your own idea to a run.

The next draw of the run uses it; later it is drawn like the other ideas. The search may be running. Your ideas are
stored in ``ideas.jsonl`` in the run folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, Source
from fairnad.search.idea_selection import find_categories
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import add_run
from graphs.cli.output.terminal import print_json
from graphs.runtime.stored_runs import find_run
from store.idea_files import add_idea
from store.run_folder import OWN_IDEAS_NAME, read_context

if TYPE_CHECKING:
    from pathlib import Path

OWN = Source(title="own idea")


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Add the idea.

    Raises:
        UserError: the run or category is unknown, or the text is too long or empty.
    """
    parser.add_argument("text", metavar="TEXT", help="the idea, in at most 49 words")
    parser.add_argument(
        "--tag",
        required=True,
        metavar="PATH",
        help="category: target/granularity/main category[/sub-category], or its unique last part",
    )
    add_run(parser)
    options = parser.parse_args(arguments)
    path = find_run(options.runs, options.run)
    number = _add(path, options.text, options.tag)
    if options.json:
        print_json({"run": path.name, "num_own_ideas": number})
    else:
        print(f"run {path.name} has {number} of your ideas; the next draw uses the new one")
    return 0


def _add(path: Path, text: str, tag: str) -> int:
    from prompts.loader import load_pack

    tree = load_pack(read_context(path).pack).attribute_tree
    try:
        idea = Idea(" ".join(text.split()), tag=_find_tag(tag, tree), source=OWN)
    except ValueError as error:
        raise SettingsError(f"add-idea: {error}") from error
    return add_idea(path / OWN_IDEAS_NAME, idea, tree)


def _find_tag(name: str, tree: AttributeTree) -> Tag:
    try:
        paths = find_categories(name, tree)
    except LookupError as error:
        raise SettingsError(f"--tag: {error.args[0]}") from error
    if len(paths) > 1:
        raise SettingsError(f"--tag: {name!r} matches {len(paths)} paths: {', '.join(map('/'.join, paths))}; name one")
    target, granularity, main, *sub = paths[0]
    return Tag(Target(target), Granularity(granularity), main, *sub)
