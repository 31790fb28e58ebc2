from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.replies.citations import check_citations, ids_in, settled_part

IDEA, OTHER = "4b3580ed4eeb", "13d188d9d680"
CANDIDATE, BASE = "g01-fair-r1-s03-d1", "g00-base-r1-s00-d0"
KNOWN = {IDEA, OTHER, CANDIDATE, BASE}


@pytest.mark.parametrize(
    ("text", "checked", "ids", "refused"),
    [
        (f"Gates help [{IDEA}].", f"Gates help [{IDEA}].", [IDEA], []),
        ("Gates help [aaaaaaaaaaa1].", "Gates help.", [], ["aaaaaaaaaaa1"]),
        (f"Both [{IDEA}, {'0' * 12}; {BASE}] do.", f"Both [{IDEA}, {BASE}] do.", [IDEA, BASE], ["0" * 12]),
        ("Shortened [4b3580] is written out.", f"Shortened [{IDEA}] is written out.", [IDEA], []),
        (f"[idea {IDEA}] and [candidate {CANDIDATE}]", f"[{IDEA}] and [{CANDIDATE}]", [IDEA, CANDIDATE], []),
        (f"{CANDIDATE} beats g07-fair-r1-s00-d0.", f"{CANDIDATE} beats ….", [CANDIDATE], ["g07-fair-r1-s00-d0"]),
        ("No id: [1] [see above] [] and 2048 effects.", "No id: [1] [see above] [] and 2048 effects.", [], []),
        (f"Twice [{IDEA}] [{IDEA}]", f"Twice [{IDEA}] [{IDEA}]", [IDEA], []),
        ("Guessed [fair-s99].", "Guessed.", [], ["fair-s99"]),
        (f"An open bracket [{IDEA}", f"An open bracket [{IDEA}", [IDEA], []),
        ("", "", [], []),
    ],
)
def test_only_ids_that_were_found_stay(text: str, checked: str, ids: list[str], refused: list[str]) -> None:
    cited = check_citations(text, KNOWN)
    assert (cited.text, cited.ids, cited.refused) == (checked, ids, refused)


def test_an_id_that_could_be_two_is_none() -> None:
    cited = check_citations("[g01-fair-r1-s03]", {CANDIDATE, "g01-fair-r1-s03-d0"})
    assert (cited.text, cited.refused) == ("", ["g01-fair-r1-s03"])


pieces = st.lists(
    st.sampled_from(
        [f"[{IDEA}]", "[aaaaaaaaaaa1]", f" {CANDIDATE}", " word", "[", "]", " ", "\n", "g09-fair-r1-s00-d0", ",", "ab"]
    )
)


@given(pieces)
def test_whatever_was_shown_of_an_arriving_answer_stays_its_beginning(parts: list[str]) -> None:
    whole = "".join(parts)
    final = check_citations(whole, KNOWN).text
    for end in range(len(whole) + 1):
        assert final.startswith(check_citations(settled_part(whole[:end]), KNOWN).text)


def test_thoughts_and_half_words_are_not_shown() -> None:
    assert settled_part("<think>The id is") == ""
    assert settled_part(f"<think>so</think>Gates help [{IDEA}") == "Gates help"
    assert settled_part(f"Gates help [{IDEA}] a l") == f"Gates help [{IDEA}] a"


def test_whole_ids_are_found_in_a_text() -> None:
    assert ids_in(f"x [{IDEA}] {CANDIDATE}, {IDEA}; abcdefabcdef deadbeef") == [IDEA, CANDIDATE]
