import json
import logging
import re
import sys
from pathlib import Path

import pytest

from labse.cli import console
from labse.cli.console import (
    fail,
    mute_all_but_main,
    print_json,
    print_lines,
    print_table,
    progress,
    say,
    show_log_messages,
)


def test_messages_go_to_standard_error_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    message = "[CLS] :smile: " + "long " * 60
    say(message)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.rstrip("\n")) == ("", message)


def test_an_error_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("first\nsecond", 3) == 3
    assert capsys.readouterr().err == "labse: error: first second\n"


def test_json_is_one_line_and_keeps_scripts_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "Привет\n"})
    out = capsys.readouterr().out
    assert out == '{"text": "Привет\\n"}\n'
    assert json.loads(out) == {"text": "Привет\n"}


def test_lines_go_to_standard_output_or_to_a_whole_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_lines(["один", "two"], None)
    assert capsys.readouterr().out == "один\ntwo\n"
    print_lines(["один", "two"], tmp_path / "out")
    assert (tmp_path / "out").read_text("utf-8") == "один\ntwo\n"
    assert capsys.readouterr().out == ""


def test_a_piped_table_is_never_wrapped_and_shows_cells_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("x" * 300, "[CLS]"), (), ("all", "1")]
    print_table(("name", "count"), rows, align="lr", title="a title " * 100)
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.count("a title") == 100
    assert len(lines) == 7
    assert "x" * 300 in lines[3]
    assert "[CLS]" in lines[3]
    assert lines[4].startswith("├")
    assert lines[5].endswith("    1 │")


def test_no_bar_is_drawn_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", total=2) as update:
        update(1)
        update(2)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def pretend_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    with progress("work") as update:
        update(1)
        update(3, 4, note="a note")
    shown = capsys.readouterr().err
    assert all(text in shown for text in ("work", "3/4", "a note"))


def test_a_bar_stops_when_all_is_done_and_another_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    with progress("work") as update:
        for total in (2, 5):
            update(0, total)
            update(total, total)
            update(total, total)
            print_lines([f"{total} rows"], None)
    captured = capsys.readouterr()
    assert captured.out == "2 rows\n5 rows\n"
    assert captured.err.index("2/2") < captured.err.index("5/5")
    assert captured.err.count("5/5") == 1


def test_a_bar_with_a_unit_tells_the_speed_since_its_first_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    with progress("work", unit="rows") as update:
        update(1_000_000)
        update(1_000_001)
    speed = re.findall(r"([\d,]+) rows/s", capsys.readouterr().err)[-1]
    assert int(speed.replace(",", "")) <= 1000


def test_what_the_library_logs_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    show_log_messages()
    show_log_messages()
    logging.getLogger("labse.mining.bitext").info("%d lines", 3)
    logging.getLogger("labse.mining.bitext").debug("not this")
    assert capsys.readouterr().err == "3 lines\n"


def test_all_processes_but_the_main_one_tell_errors_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mute_all_but_main()
    say("heard")
    monkeypatch.setattr(console._stderr(), "quiet", False)  # What it is again after this test.
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not mute_all_but_main()
    say("not heard")
    fail("an error", 3)
    assert capsys.readouterr().err == "heard\nlabse: error: an error\n"
