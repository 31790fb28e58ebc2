"""Fetches web pages politely: with a user agent, by robots.txt, with pauses, and each page once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from fairnad.ideas.knowledge import ProblemKind
from tools.papers.documents import DocumentError

if TYPE_CHECKING:
    import httpx

USER_AGENT = "FairNAD/0.1 (research; reads open-access papers; one request at a time)"
_TOKEN = "FairNAD"
_MAX_TRIES = 4
_MAX_BYTES = 100 * 2**20
_LONGEST_WAIT_SECONDS = 120.0


class PoliteFetcher:
    """Fetches pages one at a time and caches them on disk; thread-safe.

    Cached pages are not requested again, so that a stopped build continues. Every process reads ``robots.txt`` once and
    respects its delay.
    """

    def __init__(
        self,
        cache: Path,
        *,
        seconds_between: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is requested yet.

        Args:
            seconds_between: minimum time between requests to a host.
        """
        self._cache = cache
        self._seconds_between = seconds_between
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._robots: dict[str, RobotFileParser] = {}
        self._last: dict[str, float] = {}
        self._client: httpx.Client | None = None

    def fetch(self, url: str) -> bytes:
        """The content of a page, from the cache if possible.

        Raises:
            DocumentError: ``robots.txt`` forbids it, the page is missing, or the site does not answer.
        """
        kept = self._cache / hashlib.sha256(url.encode()).hexdigest()
        with self._lock:  # one request at a time, also from several threads
            if kept.is_file():
                return kept.read_bytes()
            if not self._robots_of(url).can_fetch(_TOKEN, url):
                raise DocumentError(ProblemKind.FORBIDDEN, f"{url}: forbidden by robots.txt")
            content = self._get(url)
            _keep(kept, content)
            _keep(kept.with_suffix(".json"), json.dumps({"url": url}).encode())
            return content

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _robots_of(self, url: str) -> RobotFileParser:
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        if root not in self._robots:
            rules = RobotFileParser()
            try:
                rules.parse(self._get(f"{root}/robots.txt").decode("utf-8", "replace").splitlines())
            except DocumentError as error:
                if error.kind is not ProblemKind.MISSING:
                    raise
                rules.parse([])  # a site without rules allows everything
            self._robots[root] = rules
        return self._robots[root]

    def _get(self, url: str) -> bytes:
        import httpx

        message = ""
        for number in range(_MAX_TRIES):
            self._wait_for_turn(url)
            try:
                response = self._connection().get(url)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                message = str(error) or type(error).__name__
                self._back_off({}, number)
                continue
            if response.is_success:
                return response.content[:_MAX_BYTES]
            message = f"status {response.status_code}"
            if response.status_code in (404, 410):
                raise DocumentError(ProblemKind.MISSING, f"{url}: {message}")
            if response.status_code not in (408, 429, 500, 502, 503, 504):
                break
            self._back_off(response.headers, number)
        raise DocumentError(ProblemKind.UNREACHABLE, f"{url}: {message}")

    def _connection(self) -> httpx.Client:
        import httpx

        if self._client is None:
            self._client = httpx.Client(headers={"user-agent": USER_AGENT}, timeout=60, follow_redirects=True)
        return self._client

    def _wait_for_turn(self, url: str) -> None:
        host = urlsplit(url).netloc
        root = f"{urlsplit(url).scheme}://{host}"
        wished = self._robots[root].crawl_delay(_TOKEN) if root in self._robots else None
        pause = max(self._seconds_between, float(wished or 0))
        if host in self._last and (left := self._last[host] + pause - self._clock()) > 0:
            self._sleep(left)
        self._last[host] = self._clock()

    def _back_off(self, headers: Mapping[str, str], num_failures: int) -> None:
        if num_failures + 1 == _MAX_TRIES:
            return
        wished = headers.get("retry-after", "")
        seconds = float(wished) if wished.isdigit() else self._seconds_between * 2 ** (num_failures + 1)
        self._sleep(min(seconds, _LONGEST_WAIT_SECONDS))


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(partial).replace(path)
