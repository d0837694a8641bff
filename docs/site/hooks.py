"""Writes the pages that the program itself knows (commands, benchmarks, notebooks).

Takes: pages that hold a line such as `<!-- commands -->`, and notebooks. Gives: the page with that
line replaced, a page for each notebook, and pages that load nothing from elsewhere.
Source: https://www.mkdocs.org/user-guide/configuration/#hooks
"""

import html
import inspect
import re
import sys
from pathlib import Path

import click
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from labse.cli import app

sys.path.insert(0, str(Path(__file__).parent))  # Hooks are files, not a package.
from benchmark_plots import write_benchmarks
from notebook_pages import write_notebook

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SHIM = re.compile(r'https://[^"/]+/iframe-worker/shim')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each notebook; the notebook itself stays beside it, to be taken home."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        page = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, page, content=write_notebook(path)))
    return files


def on_post_page(output: str, **_: object) -> str:
    """Takes the one script that the theme would load from elsewhere from the site itself."""
    return SHIM.sub("assets/iframe-worker.js", output)


def on_post_template(output_content: str, **_: object) -> str:
    """Does the same for the page of a wrong address."""
    return on_post_page(output_content)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fills in the generated parts of a page."""
    for name, write in (("commands", write_commands), ("benchmarks", write_benchmarks)):
        marker = f"<!-- {name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, "\n".join(write()))
    return markdown


def write_commands() -> list[str]:
    """Gives the lines of all commands: what each does, its usage, its options as a table."""
    group = typer.main.get_command(app)
    context = click.Context(group, info_name="labse")
    return list(_describe_group(group, context))


def _describe_group(group: click.Group, context: click.Context) -> list[str]:
    lines: list[str] = []
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        inner = click.Context(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            lines += _describe_group(command, inner)
        elif not command.hidden:
            lines += _describe_command(command, inner)
    return lines


def _describe_command(command: click.Command, context: click.Context) -> list[str]:
    usage = command.get_usage(context).removeprefix("Usage: ")
    text, _, examples = inspect.cleandoc(command.help or "").partition("[bold]Examples[/bold]")
    lines = [f"## {context.command_path}", "", _plain(text), "", "```text", usage, "```", ""]
    if examples:
        commands = [line.strip() for line in _plain(examples).splitlines() if line.strip()]
        lines += ["Examples:", "", "```text", *commands, "```", ""]

    lines += ["| option | what it does |", "|---|---|"]
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record:
            left, right = (html.escape(_plain(part)).replace("|", "&#124;") for part in record)
            lines.append(f"| <code>{left}</code> | {' '.join(right.split())} |")
    return [*lines, ""]


def _plain(text: str) -> str:
    """Removes what a terminal reads as colours and line breaks."""
    return re.sub(r"\[/?(dim|bold|cyan|green)\]", "", text.replace("\b", ""))
