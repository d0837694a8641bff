"""Turns a notebook into a page of the site.

Takes: a .ipynb file with its outputs. Gives: Markdown: text, code, printed output, pictures.
Source: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def write_notebook(path: Path) -> str:
    """Gives the page of a notebook, with a link to the file behind its title."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, _, first = "".join(cells[0]["source"]).partition("\n")
    source = f"[This page is a notebook]({path.name}): open it in Jupyter, and change it."
    parts = [title, first.strip(), source, *(part for cell in cells[1:] for part in _show(cell))]
    return "\n\n".join(parts) + "\n"


def _show(cell: dict[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
        return

    yield f"```python\n{text}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            yield f'<img alt="the picture that this cell draws" src="data:image/png;base64,{data["image/png"].strip()}">'
        elif printed := "".join(output.get("text", data.get("text/plain", ""))):
            yield f"```text\n{ANSI.sub('', printed).rstrip()}\n```"
