import pytest

from agents.llm.rates import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_limits_nothing_waits(clock: Clock) -> None:
    limit = RateLimit(0, 0, clock)
    assert [limit.reserve(10**9) for _ in range(100)] == [0.0] * 100


def test_requests_follow_each_other_as_the_minute_allows(clock: Clock) -> None:
    limit = RateLimit(60, 0, clock)
    waits = [limit.reserve(0) for _ in range(9)]
    assert waits[:6] == [0.0] * 6, "a tenth of a minute's requests may go at once"
    assert waits[6:] == pytest.approx([1.0, 2.0, 3.0])
    clock.now = 3.0
    assert limit.reserve(0) == pytest.approx(1.0)


def test_no_minute_sees_more_than_the_limit_and_a_tenth(clock: Clock) -> None:
    limit = RateLimit(60, 0, clock)
    sent = []
    for _ in range(200):
        clock.now += limit.reserve(0)
        sent.append(clock.now)
    assert max(sum(start <= moment < start + 60 for moment in sent) for start in sent) <= 66


def test_tokens_that_were_reserved_and_not_spent_are_given_back(clock: Clock) -> None:
    limit = RateLimit(0, 6000, clock)
    assert limit.reserve(1600) == pytest.approx(10.0), "600 are there, 100 come in a second"
    limit.correct(1600, 500)
    assert limit.reserve(100) == 0.0
    limit.correct(100, 300)
    assert limit.reserve(0) == pytest.approx(2.0)


def test_a_halt_is_never_shortened_and_ends(clock: Clock) -> None:
    limit = RateLimit(0, 0, clock)
    limit.halt(30)
    limit.halt(5)
    assert limit.seconds_halted == 30
    clock.now = 31
    assert limit.seconds_halted == 0


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("6m0s", 360.0), ("20ms", 0.02), ("1h", 600.0), ("1m2.5s", 62.5), ("7", 7.0), ("soon", 0.0), ("", 0.0)],
)
def test_a_limit_that_is_used_up_halts_until_it_is_renewed(clock: Clock, reset: str, seconds: float) -> None:
    limit = RateLimit(0, 0, clock)
    limit.apply_headers({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1h"})
    assert limit.seconds_halted == 0
    limit.apply_headers({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset})
    assert limit.seconds_halted == pytest.approx(seconds)
