"""The graphs on a LangGraph server, as its users know it: one server for all tests."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from fairnad.records.history import History
from graphs.cli.runner import run
from graphs.cli.search_command import main, parse
from graphs.runtime.checkpointer import thread_id
from graphs.studio import register_runs
from tests.e2e import servers
from tests.e2e.conftest import records
from tests.e2e.networks import UNJAILED, network
from tests.e2e.scripts import Script, fenced, lively
from tests.e2e.servers import Server
from tests.graphs.knowledge.papers import ideas_in, write_list
from tests.openai_server import ScriptedServer

SMALL = {"archs": 4, "search.initial": 2, "search.fair": 2, "search.pareto": 1, "search.refine": 1}
QUICK = {"archs": 4, "epochs": 1, "search": {"confirm_seeds": 0}}
"""Settings that leave all else at its default, where files lie among it."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without flags, over an empty folder."""
    with servers.studio(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def client(studio: Server) -> Iterator[SyncLangGraphClient]:
    """Asks the server."""
    with get_sync_client(url=studio.url, api_key=None) as opened:
        yield opened


@pytest.fixture
def settings(flags: Callable[..., list[str]]) -> Callable[..., dict[str, Any]]:
    """Settings of a search as a server takes them; its folder lies where the server puts it."""

    def make(**given: object) -> dict[str, Any]:
        context = parse(flags(**given))
        return context.model_dump(mode="json", exclude_none=True, exclude={"runs"})

    return make


def history_of(studio: Server, name: str) -> History:
    return History(records(studio.runs / name))


def test_a_search_with_default_settings_is_named_after_its_thread(client, studio):
    thread = client.threads.create()["thread_id"]
    state = client.runs.wait(thread, "search", input={}, context=QUICK)
    assert (state["outcome"], state["num_trained"]) == ("finished", 4), state
    assert len(history_of(studio, thread).trained) == 4
    assert not list(studio.folder.rglob("*.py"))


def test_a_search_runs_on_the_server_and_shows_what_each_step_changed(client, settings, studio):
    with ScriptedServer(lively) as model:
        context = settings(run="api", **SMALL, **{"llm.model": "m", "llm.base_url": model.url})
        thread = client.threads.create()["thread_id"]
        updates = list(
            client.runs.stream(
                thread, "search", input={}, context=context, stream_mode="updates", stream_subgraphs=True
            )
        )
    assert not [part for part in updates if part.event == "error"], updates[-1]
    state = client.threads.get_state(thread)
    assert state["values"]["outcome"] == "finished"
    assert state["values"]["num_trained"] == 4
    assert state["values"]["best_id"] == history_of(studio, "api").best.candidate_id
    assert all(line.startswith("g") for line in state["values"]["last_wave"])
    assert "n=" in state["values"]["pass_rate"]
    nodes = [node for part in updates if part.event.startswith("updates") for node in part.data.values() if node]
    told = [line for node in nodes for line in node.get("trace") or ()]
    assert {line.split(":")[0] for line in told} >= {"mutate", "execute", "measure", "judge", "train"}
    assert any("of its limit)" in line for line in told), "costs are shown with their shares"
    assert any(line.startswith("train: accuracy 0.") for line in told)
    assert any("-    " in node.get("diff", "") for node in nodes), "a source is shown by what has changed in it"
    assert all(len(line) < 260 for line in told)
    steps = client.threads.get_history(thread, limit=100)
    assert {"fair", "initial", "base"} <= {step["values"].get("stage") for step in steps}


def test_the_server_knows_the_settings_with_titles_defaults_choices_and_prompts(client):
    (assistant,) = client.assistants.search(graph_id="search", metadata={"created_by": "system"})
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    fields = schemas["context_schema"]["properties"]
    assert fields["review"]["enum"] == ["none", "ideas", "candidates"]
    assert (fields["archs"]["title"], fields["archs"]["default"]) == ("Archs", 32)
    assert all("description" in field or "$ref" in field for field in fields.values())
    (building,) = client.assistants.search(graph_id="knowledge")
    told = client.assistants.get_schemas(building["assistant_id"])["context_schema"]["properties"]
    assert {"sources", "out", "llm"} <= set(told), "papers are named in the form of the build"
    (single,) = client.assistants.search(graph_id="candidate")
    inputs = client.assistants.get_schemas(single["assistant_id"])["input_schema"]["properties"]
    assert set(inputs) == {"idea", "parent"}
    assert schemas["input_schema"]["properties"] == {}, "a search needs nothing but its settings"


def test_a_run_that_is_damaged_is_left_out_and_named(studio, tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "checkpoints.sqlite").write_bytes(b"rubbish " * 1000)
    assert asyncio.run(register_runs(studio.url, tmp_path)) == []
    assert capsys.readouterr().err.startswith(f"skipped: {tmp_path}/broken/checkpoints.sqlite should hold")


def test_knowledge_is_structured_and_built_on_the_server_in_its_default_folder(client, studio, tmp_path):
    papers = write_list(tmp_path / "papers.jsonl", 4)
    out = studio.folder / "knowledge"
    for graph, given in (("structure", {}), ("knowledge", {"sources": [str(papers)]})):
        thread = client.threads.create()["thread_id"]
        state = client.runs.wait(thread, graph, input={}, context=given)
        assert "summary" in state, state
    assert state["summary"]["num_papers"] == 4
    assert state["summary"]["num_ideas"] == len(ideas_in(out)) > 0


def test_two_runs_at_once_and_one_after_the_other_in_the_same_folder(client, settings, studio):
    with ScriptedServer(lively) as model:
        told = {**SMALL, "archs": 2, "llm.model": "m", "llm.base_url": model.url}
        threads = [client.threads.create()["thread_id"] for _ in range(2)]
        begun = [
            client.runs.create(thread, "search", input={}, context=settings(run=name, **told))
            for thread, name in zip(threads, ("left", "right"), strict=True)
        ]
        for thread, one in zip(threads, begun, strict=True):
            client.runs.join(thread, one["run_id"])
        assert [client.threads.get_state(thread)["values"]["outcome"] for thread in threads] == ["finished"] * 2
        num_requests = model.num_requests
        again = client.threads.create()["thread_id"]
        repeated = client.runs.wait(again, "search", input={}, context=settings(run="left", **told))
        assert repeated["outcome"] == "finished"
        assert model.num_requests == num_requests, "another thread of the same run goes through it without asking"


def test_a_run_of_the_command_line_is_opened_and_continued_and_the_command_line_goes_on(
    client, settings, studio, flags
):
    with ScriptedServer(lively) as model:
        told = {**SMALL, "llm.model": "m", "llm.base_url": model.url, "run": "shell", "runs": studio.runs}
        assert main(flags(**told)) == 0
        thread = thread_id("shell")
        client.threads.create(thread_id=thread, graph_id="search", if_exists="do_nothing")
        before = client.threads.get_state(thread)
        assert before["values"]["num_trained"] == 4
        assert len(client.threads.get_history(thread, limit=200)) > 10
        more = client.runs.wait(thread, "search", input={}, context=settings(**{**told, "archs": 6}))
        assert (more["outcome"], more["num_trained"]) == ("finished", 6)
        assert len(history_of(studio, "shell").trained) == 6
        assert main(flags(**{**told, "archs": 7})) == 0
    assert client.threads.get_state(thread)["values"]["num_trained"] == 7


def test_a_fork_shares_the_records_up_to_its_checkpoint_and_leaves_the_original_alone(
    client, settings, studio, flags, capsys
):
    with ScriptedServer(lively) as model:
        told = {**SMALL, "llm.model": "m", "llm.base_url": model.url, "run": "origin", "runs": studio.runs}
        assert main(flags(**told)) == 0
        original = history_of(studio, "origin").records
        thread = thread_id("origin")
        client.threads.create(thread_id=thread, graph_id="search", if_exists="do_nothing")
        steps = client.threads.get_history(thread, limit=200)
        early = next(step for step in steps if step["next"] == ["review"] and step["values"]["stage"] == "fair")
        wave = early["values"]["wave"]
        wave[0]["idea"] = "Use another activation function, whichever is the cheapest."
        edited = client.threads.update_state(thread, {"wave": wave}, checkpoint=early["checkpoint"], as_node="fair")
        checkpoint = edited["checkpoint"]["checkpoint_id"]
        with pytest.raises(Exception, match=r"^RunFolderError: .* recorded in runs/origin with another parent or idea"):
            client.runs.wait(thread, "search", checkpoint_id=checkpoint, context=settings(**told))
        capsys.readouterr()
        assert main(["fork", f"origin@{checkpoint}", "branch", "--runs", str(studio.runs)]) == 0
        shared = history_of(studio, "branch").records
        assert f"{len(shared)} records of" in capsys.readouterr().out
        assert 0 < len(shared) < len(original)
        assert all(record in original for record in shared)
        branch = thread_id("branch")
        client.threads.create(thread_id=branch, graph_id="search", if_exists="do_nothing")
        assert client.threads.get_state(branch)["next"] == ["review"]
        done = client.runs.wait(branch, "search", context=settings(**{**told, "run": "branch"}))
        assert done["outcome"] == "finished"
    assert history_of(studio, "origin").records == original
    branched = history_of(studio, "branch")
    assert branched[wave[0]["candidate_id"]].idea.text == wave[0]["idea"]


def test_a_single_idea_is_carried_out_by_what_it_says(client, studio):
    thread = client.threads.create()["thread_id"]
    done = client.runs.wait(thread, "candidate", input={"idea": "Use GELU in place of ReLU."}, context={"epochs": 1})
    assert "GELU" in done["trace"][0], done
    (record,) = history_of(studio, thread).records
    assert (record.candidate_id, record.parent_id, record.idea.tag.main) == (done["recorded"][0], "", "activation")
    with pytest.raises(Exception, match=r"^SettingsError: parent: runs/.* has no candidate 'g09'; leave it out"):
        client.runs.wait(thread, "candidate", input={"idea": "Widen.", "parent": "g09"}, context={"epochs": 1})
    with pytest.raises(Exception, match=r"^SettingsError: idea: an idea has 1 to 49 words, found 0$"):
        client.runs.wait(thread, "candidate", input={"idea": " "}, context={"epochs": 1})


@pytest.mark.parametrize(
    ("graph", "context", "message"),
    [
        ("search", {"archz": 4}, "unknown setting archz; did you mean archs?"),
        ("candidate", {"search": {"initia": 4}}, "unknown setting search.initia; did you mean search.initial?"),
        ("chat", {"seed": -1}, "seed: input should be greater than or equal to 0, found -1"),
        ("knowledge", {"source": []}, "unknown setting source; did you mean sources?"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_in_one_line(client, graph, context, message):
    thread = client.threads.create()["thread_id"]
    with pytest.raises(Exception, match=f"^SettingsError: {re.escape(message)}$"):
        client.runs.wait(thread, graph, input={}, context=context)


def interrupts(client: SyncLangGraphClient, thread: str) -> list[dict[str, Any]]:
    return [found for task in client.threads.get_state(thread)["tasks"] for found in task["interrupts"]]


def test_ideas_wait_for_a_person_who_edits_one_and_refuses_another(client, settings, studio):
    with ScriptedServer(lively) as model:
        told = {**SMALL, "archs": 2, "review": "ideas", "llm.model": "m", "llm.base_url": model.url, "run": "ideas"}
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "search", input={}, context=settings(**told))
        (waiting,) = interrupts(client, thread)
        one, two = [idea["candidate_id"] for idea in waiting["value"]["ideas"]]
        too_long = {one: {"edit": "word " * 60}}
        client.runs.wait(thread, "search", command={"resume": too_long}, context=settings(**told))
        (again,) = interrupts(client, thread)
        assert "an idea has 1 to 49 words, found 60" in again["value"]["error"]
        decided = {one: {"edit": "Use GELU in place of ReLU."}, two: "reject"}
        client.runs.wait(thread, "search", command={"resume": decided}, context=settings(**told))
        while interrupts(client, thread):
            client.runs.wait(thread, "search", command={"resume": "approve"}, context=settings(**told))
    history = history_of(studio, "ideas")
    assert (history[one].idea.text, history[one].num_edits) == ("Use GELU in place of ReLU.", 1)
    assert history[one].idea.tag.main == "activation", "the tag follows the text"
    assert (history[two].failure.step, history[two].failure.kind) == ("mutate", "review")
    assert len(history.trained) == 2
    assert any("Use GELU in place of ReLU." in text for text in model.asked), "the model was asked for the edited idea"


def test_a_candidate_waits_for_a_person_whose_edit_is_executed_measured_and_judged_again(client, settings, studio):
    script = Script(mutate=[fenced(network(width=9)), fenced(network(width=7)), fenced(network(width=6))])
    with ScriptedServer(script) as model:
        told = {
            **SMALL, "archs": 2, "review": "candidates", "lab.slots": 1, "llm.concurrency": 1,
            "llm.model": "m", "llm.base_url": model.url, "run": "candidates",
        }  # fmt: skip
        thread = client.threads.create()["thread_id"]
        client.runs.wait(thread, "search", input={}, context=settings(**told))
        one, two = sorted(interrupts(client, thread), key=lambda found: found["value"]["candidate_id"])
        assert "of its limit)" in one["value"]["costs"]
        assert "+++" not in one["value"]["diff"] and "+" in one["value"]["diff"]
        asked = list(script.asked)
        mine = network(width=5, activation="GELU")
        answers = {one["id"]: {"edit": mine}, two["id"]: "reject"}
        client.runs.wait(thread, "search", command={"resume": answers}, context=settings(**told))
        assert script.asked[: len(asked)] == asked
        (third,) = interrupts(client, thread)
        client.runs.wait(thread, "search", command={"resume": "approve"}, context=settings(**told))
    history = history_of(studio, "candidates")
    edited, refused = history[one["value"]["candidate_id"]], history[two["value"]["candidate_id"]]
    assert (edited.source, edited.num_edits, edited.trained) == (mine, 1, True)
    assert (refused.failure.step, refused.failure.kind) == ("review", "review")
    assert history[third["value"]["candidate_id"]].trained
    assert script.asked.count("mutate") == 3, "nothing was asked again"
    assert script.asked.count("judge") == 4, "the edited source was judged again"


def test_a_mistake_is_told_and_gives_the_run_folder_back(client, settings, studio, flags, context):
    thread = client.threads.create()["thread_id"]
    wrong = settings(run="mistake", base=str(studio.runs / "nowhere.py"))
    with pytest.raises(Exception, match=r"^BaseModelError: base .*nowhere\.py.: expected a Python file"):
        client.runs.wait(thread, "search", input={}, context=wrong)
    with ScriptedServer(lively) as model:
        told = {**SMALL, "archs": 1, "llm.model": "m", "llm.base_url": model.url}
        assert run(context(run="mistake", runs=studio.runs, **told)) == 0


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (int(child), *descendants(int(child)))]


def test_the_chat_answers_on_the_server_and_remembers_its_thread(client, studio):
    thread = client.threads.create()["thread_id"]

    def ask(question: str) -> dict[str, Any]:
        message = {"messages": [{"role": "user", "content": question}]}
        state = client.runs.wait(thread, "chat", input=message)
        assert isinstance(state, dict)
        return state

    first = ask("channel attention from 2019 on")
    assert first["answer"] == first["messages"][-1]["content"]
    assert first["cited"]
    assert all(f"[{cited}]" in first["answer"] for cited in first["cited"])
    second = ask("and before 2018?")
    assert second["understood"]["filters"]["subs"] == ["channel attention"]
    assert [turn["question"] for turn in second["turns"]] == ["channel attention from 2019 on", "and before 2018?"]
    schema = client.assistants.get_schemas(client.assistants.search(graph_id="chat")[0]["assistant_id"])
    assert "messages" in schema["input_schema"]["properties"]


def test_the_server_ends_in_the_middle_of_a_training_and_leaves_no_process(client, settings, studio, tmp_path):
    began = tmp_path / "began"
    endless = network(width=9).replace(
        "    def forward(self, x):\n        return self.head",
        f"    def forward(self, x):\n        while self.training and len(x) > 8:\n"
        f"            open({str(began)!r}, 'w').close()\n        return self.head",
    )
    with ScriptedServer(Script(mutate=[fenced(endless)])) as model:
        thread = client.threads.create()["thread_id"]
        told = settings(run="endless", **{**UNJAILED, "llm.model": "m", "llm.base_url": model.url})
        client.runs.create(thread, "search", input={}, context=told)
        deadline = time.monotonic() + 120
        while not began.exists():
            assert time.monotonic() < deadline, client.threads.get_state(thread)
        running = descendants(studio.process.pid)
        assert len(running) >= 3, "the server, its lab and the training"
        studio.process.send_signal(signal.SIGTERM)
        assert studio.process.wait(timeout=60) == 0
    deadline = time.monotonic() + 20
    while left := [pid for pid in running if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
