"""``llm.jsonl``: every call of a run, one JSON object per line, read again to replay the run.

Keys: ``candidate_id``, ``role``, ``version``, ``part`` and ``prompt_digest`` identify the call; ``pack_digest``,
``model``, ``temperature``, ``max_tokens`` and ``messages`` are the request; ``reply``, ``finish``, ``input_tokens``,
``output_tokens``, ``usd``, ``seconds``, ``ok`` and ``note`` the answer.
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
from fairnad.records.candidate import Call, plain
from store.disk import disk_errors, write_whole
from store.history_store import SqliteHistory

CALLS_NAME = "llm.jsonl"
_CALL_FIELDS = ("input_tokens", "output_tokens", "usd", "seconds", "ok", "note")


class RecordedCalls:
    """A :class:`fairnad.ports.CallLog` on the history, which also appends each call to a file.

    A line is on disk before the answer is used. After a kill -9 the last line may be missing or cut; the next start
    repairs the file from the history, which is the truth.

    Args:
        pack_digest: the digest of the prompts' pack, stored with every call.

    Raises:
        StorageError: the disk is full, or the file cannot be read or written.
    """

    def __init__(self, history: SqliteHistory, path: Path, pack_digest: str) -> None:
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
        """The stored answer of a call, or ``None``."""
        return self._history.find_answer(key)

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer and write its line; a second one with the same key is ignored."""
        with self._lock:
            if self._history.find_answer(key) is not None:
                return
            stored = replace(answer, pack_digest=answer.pack_digest or self._pack_digest)
            self._history.add_answer(key, stored)
            with disk_errors(self._path), self._path.open("ab") as file:
                file.write(call_line(key, stored).encode())
                file.flush()
                os.fsync(file.fileno())


class ReplayedCalls:
    """A :class:`fairnad.ports.CallLog` that answers from the calls of an earlier run, without an endpoint.

    Args:
        log: stores the calls of this run.
        path: the file of the earlier run.
        pack_digest: the digest of this run's pack.

    Raises:
        ReplayError: the file is missing, or a line is not a call.
        StorageError: the file cannot be read.
    """

    def __init__(self, log: RecordedCalls, path: Path, pack_digest: str) -> None:
        self._log = log
        self._path = path
        self._pack_digest = pack_digest
        self._answers: dict[CallKey, Answer] = {}
        for key, answer in read_calls(path):
            self._answers.setdefault(key, answer)

    def find_answer(self, key: CallKey) -> Answer | None:
        """The answer of a call, stored in this run before it is used.

        Raises:
            ReplayError: the earlier run did not make this call; the message gives the reason if it is known.
        """
        known = self._log.find_answer(key)
        if known is None:
            known = self._answers.get(key)
            if known is None:
                raise ReplayError(self._why_missing(key))
            self._log.add_answer(key, known)
        return known

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer; a second one with the same key is ignored."""
        self._log.add_answer(key, answer)

    def _why_missing(self, key: CallKey) -> str:
        place = replace(key, prompt_digest="")
        then = [(other, answer) for other, answer in self._answers.items() if replace(other, prompt_digest="") == place]
        name = f"{key.role} for {key.candidate_id}, version {key.version}, part {key.part}"
        if not then:
            why = "it contains no such call: this search took another path, or went further, than the recorded one"
        else:
            other, answer = then[0]
            why = f"its prompt has changed (digest {other.prompt_digest} then, {key.prompt_digest} now"
            packs = answer.pack_digest or "unknown", self._pack_digest
            same = "the same pack" if packs[0] == packs[1] else f"pack {packs[0]} then, {packs[1]} now"
            why += f"; {same})"
        return (
            f"{self._path} does not answer the call of {name}: {why}; replay with the settings, pack and base of "
            "that run, or continue at an endpoint without --llm.replay"
        )


def read_calls(path: Path) -> Iterator[tuple[CallKey, Answer]]:
    """Every call of a file, in order; an incomplete last line is skipped.

    Raises:
        ReplayError: the file is missing, or a line is not a call.
        StorageError: the file cannot be read.
    """
    if not path.is_file():
        raise ReplayError(f"expected the calls of a run, found no {path}")
    with disk_errors(path):
        whole = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(whole, 1):
        try:
            yield _read_call(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ReplayError(f"{path}:{number} is not a recorded call ({error!r}): record the run again") from error


def call_line(key: CallKey, answer: Answer) -> str:
    """A call as a line of the file."""
    line = {
        **plain(key),
        "pack_digest": answer.pack_digest,
        "model": answer.call.model,
        "temperature": answer.temperature,
        "max_tokens": answer.max_tokens,
        "messages": [{"role": role, "content": content} for role, content in answer.messages],
        "reply": answer.text,
        "finish": answer.finish,
        **{name: getattr(answer.call, name) for name in _CALL_FIELDS},
    }
    return json.dumps(line) + "\n"


def _read_call(line: dict[str, Any]) -> tuple[CallKey, Answer]:
    key = CallKey(line["candidate_id"], line["role"], line["version"], line["part"], line["prompt_digest"])
    answer = Answer(
        Call(role=line["role"], model=line["model"], **{name: line[name] for name in _CALL_FIELDS}),
        tuple((message["role"], message["content"]) for message in line["messages"]),
        line["reply"],
        line["finish"],
        **{name: line[name] for name in ("temperature", "max_tokens", "pack_digest")},
    )
    return key, answer
