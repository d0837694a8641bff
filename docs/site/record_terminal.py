"""Records commands as a picture of a terminal: what they print here is what the picture shows.

Use: python docs/site/record_terminal.py, after a change of the shipped model or of the output.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "images" / "mine.svg"
COMMANDS = [
    "cat news.de",
    "cat news.en",
    "labse mine news.de news.en --margin absolute",
]
FILES = {
    "news.de": "Das ist ein Hund.\nWo ist der Bahnhof?\nEs regnet seit drei Tagen.\n",
    "news.en": "Where is the station?\nThe museum is closed.\nIt has been raining for three days.\nThat is a dog.\n",
}
# The template of rich loads its font from elsewhere; a font of the reader's machine will do.
SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def record(commands: list[str], files: dict[str, str]) -> str:
    """Runs the commands in a folder with the files, and gives the SVG of what they print."""
    console = Console(record=True, width=78, file=io.StringIO())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        for command in commands:
            console.print(Text.assemble(("$ ", "green"), (command, "bold")))
            done = subprocess.run(
                command,
                shell=True,
                cwd=folder,
                env=os.environ | {"PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            console.print(Text(done.stdout.rstrip("\n").expandtabs(14)))
    return console.export_svg(title="labse", code_format=SVG_FORMAT, unique_id="labse-mine")


if __name__ == "__main__":
    PICTURE.write_text(record(COMMANDS, FILES), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.name}: {PICTURE.stat().st_size:,} bytes\n")
