"""The duration of many slow replies with parallel calls; only the endpoint causes waiting.

python -m benchmarks.slow_replies --replies 64 --seconds 5 --at-once 16
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agents.llm.client import CallMemory, LanguageModel
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import CandidateId, Stage, Step
from fairnad.settings.model_entries import LanguageModelSettings

_EVENTS: tuple[dict[str, object], ...] = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "done"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def _slow_server(seconds: float) -> Iterator[str]:
    """The base URL of an endpoint with this delay per reply."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            time.sleep(seconds)
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in _EVENTS) + "data: [DONE]\n\n"
            self.send_response_only(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


async def measure(num_replies: int, seconds: float, at_once: int) -> tuple[float, float]:
    """The seconds until all replies are there, and the processor seconds that client and server spent meanwhile.

    One reply before them loads the client and is not counted.

    Raises:
        RuntimeError: one of them is no answer.
    """
    with _slow_server(seconds) as url:
        settings = LanguageModelSettings.model_validate({"model": "slow", "base_url": url, "concurrency": at_once})
        model = LanguageModel(settings, CallMemory())
        contexts = [CallContext(str(CandidateId(1, Stage.FAIR, 1, slot, 0)), 0, 0) for slot in range(num_replies)]
        await model.complete("warm up", contexts[0], (("user", "go"),), step=Step.MUTATE)
        began, busy_before = time.monotonic(), time.process_time()
        asked = (model.complete("mutation", one, (("user", "go"),), step=Step.MUTATE) for one in contexts)
        answers = await asyncio.gather(*asked)
        taken, busy = time.monotonic() - began, time.process_time() - busy_before
        await model.aclose()
    if not all(isinstance(answer, Answer) for answer in answers):
        raise RuntimeError(f"not every reply is an answer: {answers}")
    return taken, busy


def main() -> None:
    """Measure once and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    taken, busy = asyncio.run(measure(given.replies, given.seconds, given.at_once))
    ideal = -(-given.replies // given.at_once) * given.seconds
    print(f"{given.replies} replies of {given.seconds:g} s, {given.at_once} at once: {taken:.1f} s", end="; ")
    print(f"ideal {ideal:g} s, {busy:.1f} s of processor")


if __name__ == "__main__":
    main()
