"""``index``: the index by which ideas are searched for by meaning, built where it is missing; anew with ``--anew``.

It takes every flag of a search; ``--ideas``, ``--pack``, ``--runs`` and those under ``--embedding`` matter. A search
builds it too when it starts. With ``--json``: ``num_ideas``, ``embedder``, ``was_whole``, ``is_built`` and ``seconds``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from fairnad.formatting import duration_text
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import make_console, print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Build the index, or say that it is whole.

    Raises:
        UserError: a flag is wrong, or the pack or the ideas cannot be read.
        EndpointError: the embedding endpoint is gone, or refuses.
    """
    from graphs.cli.search_command import parse_settings
    from graphs.runtime.idea_base import find_ideas, load_ideas, make_embedder
    from prompts.loader import load_pack

    parser.add_argument("--anew", action="store_true", help="build it also where it is whole")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    context = parse_settings(parser, arguments)
    options = parser.parse_args([*arguments])
    began = time.monotonic()
    with contextlib.closing(find_ideas(context, load_ideas(context, load_pack(context.pack)))) as store:
        was_whole = store.is_indexed()
        store.ensure_index(anew=options.anew)
    seconds = time.monotonic() - began
    told = {
        "num_ideas": len(store),
        "embedder": make_embedder(context).name,
        "was_whole": was_whole,
        "is_built": options.anew or not was_whole,
        "seconds": round(seconds, 3),
    }
    if options.json:
        print_json(told)
    else:
        what = f"built in {duration_text(seconds)}" if told["is_built"] else "whole already (--anew builds it)"
        make_console().print(f"index of {told['num_ideas']} ideas by {told['embedder']}: {what}")
    return 0
