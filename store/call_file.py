"""``llm.jsonl``: every call of a run for people and other programs, one JSON object a line, and read again to replay.

Keys: ``candidate_id``, ``role``, ``version``, ``part`` and ``prompt_digest`` name the call; ``pack_digest``,
``model``, ``temperature``, ``max_tokens`` and ``messages`` are what was asked; ``reply``, ``finish``,
``input_tokens``, ``output_tokens``, ``usd``, ``seconds``, ``ok`` and ``note`` what came of it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairnad.errors import ReplayError
from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import Call
from store.disk import disk_errors, write_whole
from store.history_store import SqliteHistory

CALLS_NAME = "llm.jsonl"


class RecordedCalls:
    """A :class:`fairnad.ports.CallLog` on the history, which also writes each call to a file as soon as it is stored.

    A line is on disk before the answer is used. A kill -9 between the two leaves the file a line behind, or the last
    line cut; whoever opens it next mends it from the history, which is the truth.
    """

    def __init__(self, history: SqliteHistory, path: Path, pack_digest: str) -> None:
        """Mend the file, or begin it.

        Args:
            pack_digest: that of the pack the prompts are from, noted with every call.

        Raises:
            StorageError: the disk is full, or the file cannot be read or written.
        """
        self._history = history
        self._path = path
        self._pack_digest = pack_digest
        self._lock = threading.Lock()
        if not self._is_whole():
            lines = (call_line(key, answer) for key, answer in history.answers())
            write_whole(path, lines, durable=True)

    def _is_whole(self) -> bool:
        with disk_errors(self._path):
            content = self._path.read_bytes() if self._path.exists() else b""
        num_lines = content.count(b"\n")
        return content.endswith(b"\n") and num_lines == sum(1 for _ in self._history.answers())

    def find_answer(self, key: CallKey) -> Answer | None:
        """The stored answer of a call, ``None`` where it was never answered."""
        return self._history.find_answer(key)

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer and write its line; a second one of the same key changes nothing."""
        with self._lock:
            if self._history.find_answer(key) is not None:
                return
            noted = replace(answer, pack_digest=answer.pack_digest or self._pack_digest)
            self._history.add_answer(key, noted)
            with disk_errors(self._path), self._path.open("ab") as file:
                file.write(call_line(key, noted).encode())
                file.flush()
                os.fsync(file.fileno())


class ReplayedCalls:
    """A :class:`fairnad.ports.CallLog` that knows every answer from an earlier run, so that no endpoint is asked."""

    def __init__(self, log: RecordedCalls, path: Path, pack_digest: str) -> None:
        """Read what was recorded.

        Args:
            log: where the calls of this run are stored.
            path: the file of the other run.
            pack_digest: that of this run's pack.

        Raises:
            ReplayError: the file is missing, or a line of it is no call.
            StorageError: it cannot be read.
        """
        self._log = log
        self._path = path
        self._pack_digest = pack_digest
        self._answers: dict[CallKey, Answer] = {}
        for key, answer in read_calls(path):
            self._answers.setdefault(key, answer)

    def find_answer(self, key: CallKey) -> Answer | None:
        """The answer of a call, stored in this run before it is used.

        Raises:
            ReplayError: the earlier run did not make this call; says why, as far as can be told.
        """
        known = self._log.find_answer(key)
        if known is None:
            known = self._answers.get(key)
            if known is None:
                raise ReplayError(self._why_missing(key))
            self._log.add_answer(key, known)
        return known

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer; a second one of the same key changes nothing."""
        self._log.add_answer(key, answer)

    def _why_missing(self, key: CallKey) -> str:
        place = replace(key, prompt_digest="")
        then = [(other, answer) for other, answer in self._answers.items() if replace(other, prompt_digest="") == place]
        name = f"{key.role} for {key.candidate_id}, version {key.version}, part {key.part}"
        if not then:
            why = "it holds no such call: the search went another way, or further, than the one it was recorded in"
        else:
            other, answer = then[0]
            why = f"its prompt has changed (digest {other.prompt_digest} then, {key.prompt_digest} now"
            packs = answer.pack_digest or "unknown", self._pack_digest
            same = "the same pack" if packs[0] == packs[1] else f"pack {packs[0]} then, {packs[1]} now"
            why += f"; {same})"
        return (
            f"{self._path} does not answer the call of {name}: {why}; replay it with the settings, pack and base of "
            "its run, or go on at an endpoint without --llm.replay"
        )


def read_calls(path: Path) -> Iterator[tuple[CallKey, Answer]]:
    """Every call of a file, in its order; a last line that a kill cut off is left out.

    Raises:
        ReplayError: there is no such file, or a line of it is no call.
        StorageError: it cannot be read.
    """
    if not path.is_file():
        raise ReplayError(f"expected the calls of a run, found no {path}")
    with disk_errors(path):
        whole = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(whole, 1):
        try:
            yield _call(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ReplayError(f"{path}:{number} is not a recorded call ({error!r}): record the run anew") from error


def call_line(key: CallKey, answer: Answer) -> str:
    """A call as a line of the file."""
    line = {
        "candidate_id": key.candidate_id,
        "role": key.role,
        "version": key.version,
        "part": key.part,
        "prompt_digest": key.prompt_digest,
        "pack_digest": answer.pack_digest,
        "model": answer.call.model,
        "temperature": answer.temperature,
        "max_tokens": answer.max_tokens,
        "messages": [{"role": role, "content": content} for role, content in answer.messages],
        "reply": answer.text,
        "finish": answer.finish,
        "input_tokens": answer.call.input_tokens,
        "output_tokens": answer.call.output_tokens,
        "usd": answer.call.usd,
        "seconds": answer.call.seconds,
        "ok": answer.call.ok,
        "note": answer.call.note,
    }
    return json.dumps(line) + "\n"


def _call(line: dict[str, Any]) -> tuple[CallKey, Answer]:
    key = CallKey(line["candidate_id"], line["role"], line["version"], line["part"], line["prompt_digest"])
    call = Call(
        role=line["role"],
        model=line["model"],
        input_tokens=line["input_tokens"],
        output_tokens=line["output_tokens"],
        seconds=line["seconds"],
        ok=line["ok"],
        note=line["note"],
        usd=line["usd"],
    )
    messages = tuple((message["role"], message["content"]) for message in line["messages"])
    answer = Answer(
        call,
        messages,
        line["reply"],
        line["finish"],
        temperature=line["temperature"],
        max_tokens=line["max_tokens"],
        pack_digest=line["pack_digest"],
    )
    return key, answer
