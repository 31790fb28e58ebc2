from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairnad.records.prices import NOTHING, Price, Usage, dearest, estimated_tokens, most_input_tokens, unpriced
from fairnad.settings.model_entries import LanguageModelSettings


def test_a_price_is_for_a_million_tokens() -> None:
    price = Price(input=0.5, output=2.0)
    assert price.usd(1_000_000, 500_000) == 1.5
    assert price.usage(2000, 100) == Usage(2000, 100, 0.0012)
    assert price.is_known and not Price().is_known


def test_usages_add_up() -> None:
    assert Usage(1, 2, 0.5) + Usage(10, 20, 0.25) == Usage(11, 22, 0.75)
    assert Usage(1, 2).tokens == 3
    assert sum([Usage(1, 1, 1.0)] * 3, NOTHING) == Usage(3, 3, 3.0)


def test_the_price_of_a_model_comes_from_the_settings() -> None:
    settings = LanguageModelSettings(model="m", price_input=1, price_output=3)
    assert dearest(settings) == Price(1, 3)
    assert unpriced(settings) == []
    assert unpriced(LanguageModelSettings(model="m")) == ["m"]
    assert dearest(LanguageModelSettings()) == Price()


@given(st.lists(st.tuples(st.just("user"), st.text())))
def test_what_a_prompt_takes_at_most_is_never_below_the_estimate(messages: list[tuple[str, str]]) -> None:
    num_characters = sum(len(text) for _, text in messages)
    assert most_input_tokens(messages) >= estimated_tokens(num_characters)


def test_no_text_is_estimated_at_no_tokens() -> None:
    assert [estimated_tokens(number) for number in (0, 1, 4, 5)] == [0, 1, 1, 2]
