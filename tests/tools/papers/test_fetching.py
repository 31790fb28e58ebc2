"""A polite guest: identified, unhurried, obedient to robots.txt, and never asking for what the disk holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairnad.ideas.knowledge import ProblemKind
from tests.tools.papers.site import Site
from tools.papers.documents import DocumentError
from tools.papers.fetching import USER_AGENT, PoliteFetcher

PAGE = "/CVPR2023?day=all"


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def fetcher(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., PoliteFetcher]]:
    made: list[PoliteFetcher] = []

    def make(seconds_between: float = 3.0) -> PoliteFetcher:
        made.append(
            PoliteFetcher(
                tmp_path / "cache", seconds_between=seconds_between, sleep=clock.sleep, clock=lambda: clock.now
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_says_who_it_is(site: Site, fetcher: Callable[..., PoliteFetcher]) -> None:
    fetcher().fetch(site.root + PAGE)
    assert site.agents == {USER_AGENT}


def test_requests_to_a_host_are_apart(site: Site, fetcher: Callable[..., PoliteFetcher], clock: Clock) -> None:
    one = fetcher()
    one.fetch(site.root + PAGE)
    site.pages["/second"] = "more"
    one.fetch(f"{site.root}/second")
    assert clock.waits == [3.0, 3.0], "robots.txt, then the page, then the other"


def test_a_longer_delay_that_a_site_wishes_is_kept(
    site: Site, fetcher: Callable[..., PoliteFetcher], clock: Clock
) -> None:
    site.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 10\n"
    fetcher().fetch(site.root + PAGE)
    assert clock.waits == [10.0]


def test_what_the_disk_holds_is_never_asked_for_again(site: Site, fetcher: Callable[..., PoliteFetcher]) -> None:
    content = fetcher().fetch(site.root + PAGE)
    assert fetcher().fetch(site.root + PAGE) == content
    assert site.visits == {"/robots.txt": 1, PAGE: 1}


def test_what_robots_txt_forbids_is_not_visited(site: Site, fetcher: Callable[..., PoliteFetcher]) -> None:
    site.pages["/private/paper"] = "secret"
    with pytest.raises(DocumentError, match=r"robots\.txt") as caught:
        fetcher().fetch(f"{site.root}/private/paper")
    assert caught.value.kind is ProblemKind.FORBIDDEN
    assert "/private/paper" not in site.visits


def test_a_site_without_rules_allows_everything(site: Site, fetcher: Callable[..., PoliteFetcher]) -> None:
    del site.pages["/robots.txt"]
    assert fetcher().fetch(site.root + PAGE)


def test_a_busy_site_is_given_the_time_it_asks_for(
    site: Site, fetcher: Callable[..., PoliteFetcher], clock: Clock
) -> None:
    site.refusals[PAGE] = [(429, {"retry-after": "30"}), (503, {})]
    assert fetcher(1.0).fetch(site.root + PAGE)
    assert 30.0 in clock.waits
    assert site.visits[PAGE] == 3


@pytest.mark.parametrize(
    ("status", "kind", "visits"),
    [(404, ProblemKind.MISSING, 1), (403, ProblemKind.UNREACHABLE, 1), (500, ProblemKind.UNREACHABLE, 4)],
)
def test_a_site_that_refuses_is_a_problem_and_not_stored(
    site: Site, fetcher: Callable[..., PoliteFetcher], status: int, kind: ProblemKind, visits: int
) -> None:
    site.refusals[PAGE] = [(status, {})] * visits
    with pytest.raises(DocumentError, match=f"status {status}") as caught:
        fetcher().fetch(site.root + PAGE)
    assert caught.value.kind is kind
    assert site.visits[PAGE] == visits
    assert fetcher().fetch(site.root + PAGE), "it is asked again the next time"


def test_a_host_that_is_not_there_is_a_problem(fetcher: Callable[..., PoliteFetcher]) -> None:
    with pytest.raises(DocumentError) as caught:
        fetcher().fetch("http://127.0.0.1:9/page")
    assert caught.value.kind is ProblemKind.UNREACHABLE
