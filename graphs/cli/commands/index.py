"""``index``: builds the index for searching ideas by meaning, if it is missing or stale.

It takes all flags of a search and uses ``--ideas``, ``--pack``, ``--runs`` and ``--embedding.*``. A search builds the
index itself when it starts. With ``--json``: ``num_ideas``, ``embedder``, ``was_whole``, ``is_built``, ``seconds``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from fairnad.formatting import duration_text
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import make_console, print_json
from graphs.cli.settings_parser import add_settings, read_settings

_COMMON = {
    "ideas": ("pack", "ideas", "runs"),
    "embedding model": ("embedding.model", "embedding.base_url"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Build the index if needed, and print its state.

    Raises:
        UserError: a flag is wrong, or the pack or the ideas cannot be read.
        EndpointError: the embedding endpoint does not answer or returns an error.
    """
    from graphs.runtime.idea_base import find_ideas, load_ideas, make_embedder
    from prompts.loader import load_pack

    parser.add_argument("--rebuild", "--anew", action="store_true", help="build it even if it is up to date")
    parser.add_argument("--json", action="store_true", help="print only one JSON object")
    add_settings(parser, RunContext, _COMMON)
    options = parser.parse_args(arguments)
    context = read_settings(options, parser, RunContext)
    began = time.monotonic()
    with contextlib.closing(find_ideas(context, load_ideas(context, load_pack(context.pack)))) as store:
        was_whole = store.is_indexed()
        store.ensure_index(rebuild=options.rebuild)
    seconds = time.monotonic() - began
    facts = {
        "num_ideas": len(store),
        "embedder": make_embedder(context).name,
        "was_whole": was_whole,
        "is_built": options.rebuild or not was_whole,
        "seconds": round(seconds, 3),
    }
    if options.json:
        print_json(facts)
    else:
        state = f"built in {duration_text(seconds)}" if facts["is_built"] else "up to date (--rebuild builds it again)"
        make_console().print(f"index of {facts['num_ideas']} ideas by {facts['embedder']}: {state}")
    return 0
