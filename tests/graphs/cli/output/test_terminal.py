"""Consoles for terminals, log files and CI; numbers as people read them."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.text import Text

from fairnad.formatting import (
    count_text,
    duration_text,
    printable,
    quantity_text,
    rough_duration_text,
    share_text,
    signed_share_text,
    signed_text,
)
from graphs.cli.output.terminal import make_console, make_table, moves, print_json, print_table, print_text

LONG = "word " * 60


def test_in_a_file_tables_and_texts_are_whole_and_end_without_blanks(capsys):
    console = make_console()
    table = make_table("name", "count", "text", numbers={"count"})
    table.add_row("a", "12", "x" * 300)
    table.add_row("bb", "3", "y")
    print_table(console, table)
    print_text(console, LONG.strip(), indent=2)
    console.print("[not markup] :smile:")
    printed = capsys.readouterr().out
    heading, rule, *rest = printed.splitlines()
    assert (heading, set(rule)) == ("name  count  text", {"─"})
    assert rest == [
        f"a        12  {'x' * 300}",
        "bb        3  y",
        f"  {LONG.strip()}",
        "[not markup] :smile:",
    ]


def test_on_a_narrow_terminal_cells_and_texts_are_wrapped_between_words_and_nothing_is_cut():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=40, color_system=None, soft_wrap=True)
    table = make_table("name", "count", "text", numbers={"count"})
    table.add_row("candidate", "1,234,567", LONG.strip())
    print_table(console, table)
    print_text(console, Text(LONG.strip()), indent=4)
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert file.getvalue().count("word") == 120
    assert "…" not in file.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, True), ({"CI": "true"}, False), ({"CI": "1"}, False), ({"CI": "false"}, True), ({"TERM": "dumb"}, False)],
)
def test_a_display_moves_on_real_terminals_that_nobody_keeps_as_a_log(variables, expected, monkeypatch):
    for name, value in {"CI": "", "TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    assert moves(Console(file=Terminal())) is expected
    assert not moves(Console(file=io.StringIO(), force_terminal=True)), "FORCE_COLOR makes no terminal of a file"


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        file = Terminal()
        monkeypatch.setattr(sys, "stdout", file)
        make_console().print(Text("hello", "red"))
        assert ("\x1b[31m" in file.getvalue()) is coloured


def test_a_stream_that_knows_few_letters_gets_question_marks(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    make_console().print("3 × 4 ≤ 12")
    assert buffer.getvalue() == b"3 ? 4 ? 12\n"


def test_json_is_one_line_and_knows_no_nan(capsys):
    print_json({"a": "ü\n"})
    assert capsys.readouterr().out == '{"a": "\\u00fc\\n"}\n'
    with pytest.raises(ValueError, match="JSON"):
        print_json({"a": float("nan")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m \x7f \x00 \r", "\\x9b31m \\x7f \\x00 \\x0d"),
        ("dos\r\nfile", "dos\nfile"),
        ("caf\udce9", "caf\\xdce9"),
        ("ü – 文", "ü – 文"),
    ],
)
def test_text_of_models_cannot_command_a_terminal(text, expected):
    assert printable(text) == expected


def test_numbers_as_people_read_them():
    assert [rough_duration_text(seconds) for seconds in (0.2, 12, 89, 720, 5399, 5401, 86400, 3e5)] == [
        *("1 s", "12 s", "89 s", "12 min", "90 min", "2 h", "24 h", "3 days")
    ]
    assert [duration_text(seconds) for seconds in (0, 59.6, 61, 3661)] == ["0s", "1m00s", "1m01s", "1h01m"]
    assert [share_text(share) for share in (0, 0.29, 0.9999, 1, 1.0001, 1.31)] == [
        *("0%", "29%", "99%", "100%", "101%", "131%")
    ]
    assert [share_text(share, 1) for share in (0.0199, 0.12345, 0.99999, 1, 1.00001)] == [
        *("1.9%", "12.3%", "99.9%", "100.0%", "100.1%")
    ]
    assert [signed_share_text(change) for change in (0.299, -0.299, 0)] == ["+29%", "-29%", "+0%"]
    assert [signed_text(0.0166), signed_text(-0.1, 1), quantity_text(999_900)] == ["+0.0166", "-0.1", "1M"]
    assert [count_text(number, "line") for number in (0, 1, 1200)] == ["0 lines", "1 line", "1,200 lines"]
