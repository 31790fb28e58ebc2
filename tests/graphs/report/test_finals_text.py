"""The sentence on winner and control, in every case."""

from dataclasses import replace

import pytest

from fairnad.search.finals import Finalist, Finals
from graphs.report.finals_text import comparison_facts, verdict_text

BASE = Finalist("base", {1: 0.5, 2: 0.5, 3: 0.5}, {1: 0.5, 2: 0.5, 3: 0.5})


def finals(held_out, *, control=True, winner_id="one", validation=None):
    seeds = range(1, len(held_out) + 1)
    one = Finalist("one", validation or dict.fromkeys(seeds, 0.6), dict(zip(seeds, held_out, strict=True)))
    return Finals(0, "quick", "digest", "base", winner_id, (one, BASE), "base" if control else "")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param(
            finals([0.53, 0.54, 0.53]),
            "The winner is ahead of the control by 3.3 ± 0.6 points on held-out images (mean ± s.d. of 3 paired seeds, "
            "95% interval +1.9 to +4.8).",
            id="ahead",
        ),
        pytest.param(
            finals([0.5, 0.54, 0.53], control=False),
            "The winner is within the noise of the base: +2.3 ± 2.1 points on held-out images (mean ± s.d. of 3 paired "
            "seeds, 95% interval -2.8 to +7.5).",
            id="noise",
        ),
        pytest.param(
            finals([0.47, 0.46, 0.47]),
            "The winner is behind the control: -3.3 ± 0.6 points on held-out images (mean ± s.d. of 3 paired seeds, "
            "95% interval -4.8 to -1.9).",
            id="behind",
        ),
        pytest.param(
            finals([0.55]),
            "Winner − control: +5.0 points on held-out images, one seed; that says nothing about the noise.",
            id="one seed",
        ),
        pytest.param(
            finals([], validation={1: 0.6}),
            "Winner − control: +10.0 points on validation images, one seed; that says nothing about the noise.",
            id="closed",
        ),
        pytest.param(
            finals([], validation={7: 0.6}),
            "Winner and control trained with no seed in common: they cannot be compared.",
            id="no pair",
        ),
        pytest.param(
            finals([0.5], winner_id="base"),
            "No finalist has a better mean validation accuracy than the control, the base widened to the limits: "
            "it is the result.",
            id="control wins",
        ),
        pytest.param(
            finals([0.5], winner_id="base", control=False),
            "No finalist has a better mean validation accuracy than the base: it is the result.",
            id="base wins",
        ),
    ],
)
def test_the_sentence(held, expected):
    assert verdict_text(held) == expected


def test_the_same_for_programs():
    told = comparison_facts(finals([0.53, 0.54, 0.53]))
    assert told is not None
    assert {key: told[key] for key in ("with", "images", "n", "exceeds_noise")} == {
        "with": "control",
        "images": "held out",
        "n": 3,
        "exceeds_noise": True,
    }
    assert told["mean"] == pytest.approx(0.1 / 3)
    assert comparison_facts(None) is None
    assert set(comparison_facts(replace(finals([0.5]), winner_id="base")) or {}) == {"with", "text"}
