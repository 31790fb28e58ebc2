"""The compiler is loaded by the jobs that need it, and by no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.sandbox.good_network import GOOD

LOADED = '"torch._dynamo.eval_frame" in sys.modules'


@pytest.mark.asyncio(loop_scope="session")
async def test_a_warm_server_that_has_checked_and_trained_has_no_compiler(run_check):
    result = await run_check(f"import sys\nassert not {LOADED}\n{GOOD}")
    assert result.failure is None


@pytest.mark.asyncio(loop_scope="session")
async def test_a_job_that_asks_for_the_compiler_finds_it(run_check):
    asks = (
        f"import sys, torch, torch._dynamo.config\nassert {LOADED}\nassert torch._dynamo.config.recompile_limit > 0\n"
    )
    result = await run_check(asks + GOOD, wall_seconds=120)
    assert result.failure is None


def test_what_was_to_be_left_alone_before_the_compiler_came_is_left_alone_by_it():
    script = f"""
import sys, torch
from tools.sandbox import late_compiler

late_compiler.defer()

def left_alone(x):
    return x + 1

for_ever = torch._dynamo.disable(left_alone)
assert for_ever(torch.ones(1)).item() == 2 and not {LOADED}
graphs = []

def keep(graph, inputs):
    graphs.append(graph)
    return graph.forward

def parts(function):
    graphs.clear()
    assert torch.compile(lambda x: function(x * 2) * 3, backend=keep)(torch.ones(1)).item() == 9
    return len(graphs)

assert (parts(left_alone), parts(for_ever)) == (1, 2)
"""
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)


@pytest.mark.asyncio(loop_scope="session")
async def test_whoever_walks_over_the_loaded_modules_loads_nothing(run_check):
    walks = "import inspect, sys, torch\ninspect.getmodule(sys._getframe())\n"
    result = await run_check(f"{walks}assert not {LOADED}\n{GOOD}")
    assert result.failure is None
