from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.error_bodies import ErrorBody, read_error, read_error_text

BODIES = {
    '{"error": {"message": "a", "type": "b", "code": 400, "param": "C"}}': ErrorBody("a", "b 400 c", 400),
    '{"error": "a"}': ErrorBody("a"),
    '{"error": true, "message": "a"}': ErrorBody("a"),
    '{"detail": "a\\n b"}': ErrorBody("a b"),
    '{"detail": [{"loc": ["body", "x"], "msg": "a"}, {"loc": ["y"], "msg": "b"}]}': ErrorBody("body.x: a; y: b"),
    '{"errors": ["a", "b", "a"]}': ErrorBody("a; b"),
    '[{"error": {"code": 429, "message": "a", "details": [{"retryDelay": "3.5s"}]}}]': ErrorBody("a", "429", 429, 3.5),
    '{"error": {"message": "a, try again in 2 minutes"}}': ErrorBody("a, try again in 2 minutes", "", 0, 120),
    '{"error": {"code": "no_quota"}}': ErrorBody("no_quota", "no_quota"),
    '{"status": "up"}': ErrorBody("up", "up"),
    '{"up": 1}': ErrorBody('{"up": 1}'),
    '"a"': ErrorBody("a"),
    " a \n b ": ErrorBody("a b"),
    "<html><title>a &lt; b</title><script>x</script><body>c<br>d</body></html>": ErrorBody("a < b c d"),
    "": ErrorBody(""),
    "12": ErrorBody("12"),
}


@pytest.mark.parametrize(("text", "expected"), BODIES.items())
def test_the_words_are_found_in_every_form(text: str, expected: ErrorBody) -> None:
    assert read_error_text(text) == expected


def test_a_body_of_any_depth_is_read() -> None:
    assert read_error_text("[" * 100_000 + "]" * 100_000).message
    deep: object = "a"
    for _ in range(50):
        deep = {"error": deep}
    assert read_error(deep).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["error", "message", "x"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_one_line(content: object) -> None:
    assert "\n" not in read_error_text(json.dumps(content)).message


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    assert "\n" not in read_error_text(text).message
