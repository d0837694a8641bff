from collections.abc import Callable
from typing import Any

from labse.cli.corpus import app

Run = Callable[..., Any]


def test_the_group_lists_its_commands(run: Run) -> None:
    ran = run("corpus", "--help")
    assert ran.code == 0
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    assert {"extract", "split", "convert", "stats"} <= {*names}
    assert all(name in ran.out for name in names)


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    ran = run("corpus", "nonsense")
    assert ran.code == 2
    assert "nonsense" in ran.err
