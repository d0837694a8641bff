"""Groups of commands whose modules are imported when a command is called, not for a help page.

Takes: rows of name, module and one-line help. Gives: a group for typer.
"""

from collections.abc import Callable, Iterable
from importlib import import_module

import typer
from typer.core import TyperGroup

__all__ = ["LazyGroup", "add_rows"]


class LazyGroup(TyperGroup):
    """A group that knows its commands by stand-ins until one of them is called."""

    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Finds the command as a group does, and builds it."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, stand_in and _build(str(name), stand_in.callback.__module__), rest


def add_rows(app: typer.Typer, rows: Iterable[tuple[str, str, str]]) -> None:
    """Lists commands in a group, in their order.

    Args:
        app: a typer whose class is `LazyGroup`.
        rows: what the user types; the module in `labse.cli` that holds the function of this name,
            or the group `app`; the line in the help of the group.
    """
    for name, module, summary in rows:
        app.command(name, help=summary)(_stand_in(f"labse.cli.{module}"))
    app.callback()(lambda: None)


def _stand_in(module: str) -> Callable[[], None]:
    def stand_in() -> None:
        raise NotImplementedError(module)

    stand_in.__module__ = module
    return stand_in


def _build(name: str, module_name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    module = import_module(module_name)
    if hasattr(module, "app"):
        group = typer.main.get_group(module.app)
        group.name = name
        return group
    app = typer.Typer(rich_markup_mode="rich", add_completion=False)
    app.command(name)(getattr(module, name.replace("-", "_")))
    return typer.main.get_command(app)
