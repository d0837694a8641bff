"""The shape of the program: layers, public names, what an import loads; each prints offenders."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core

import labse
from labse.cli import app, corpus

SRC = Path(labse.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SRC.rglob("*.py")
    if path.name != "__main__.py"  # It runs the program when it is imported.
)
NO_CONTEXT: Any = None
# Not pydantic: typer itself loads it to read arguments.
HEAVY = {"torch", "transformers", "sentence_transformers", "numpy", "ctranslate2"}
# What trains, or computes with torch; everything else works without it.
WITH_TORCH = (
    "labse.dual_encoder",
    "labse.pretraining",
    "labse.training",
    "labse.network",
    "labse.model_folder.torch_model",
    "labse.encoder.runtimes.torch_runtime",
    "labse.encoder.trained",
    "labse.search.torch_engine",
    "labse.mining.hard_negatives",
    "labse.cli",
)


def loaded_modules(code: str) -> set[str]:
    """Returns the top-level packages that a fresh interpreter holds after running `code`."""
    tell = "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    script = f"import sys\n{code}\n{tell}"
    environment = {"PYTHONPATH": str(SRC.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def commands(group: typer.core.TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields the name and the command of each that a user may call, built as a call builds it."""
    for name in group.list_commands(NO_CONTEXT):
        _, command, _ = group.resolve_command(NO_CONTEXT, [name])
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_imports_point_down_and_oracles_stay_out() -> None:
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(SRC.parent), "NO_COLOR": "1", "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_public_names_are_sorted_there_and_documented() -> None:
    offenders = []
    for name in MODULES:
        module = importlib.import_module(name)
        if not module.__doc__:
            offenders.append(f"{name}: no docstring")
        if len(ast.parse(inspect.getsource(module)).body) == 1:
            continue  # The docstring of a package.
        # Constants, classes, functions, each by name: the order that ruff (RUF022) keeps.
        kinds = [(0 if n.isupper() else 1 if n[:1].isupper() else 2, n) for n in module.__all__]
        if kinds != sorted(kinds):
            offenders.append(f"{name}: __all__ is not sorted")
        for public in module.__all__:
            value = getattr(module, public)
            is_code = inspect.isclass(value) or inspect.isfunction(value)
            if is_code and not value.__doc__:
                offenders.append(f"{name}.{public}: no docstring")
    assert offenders == []


def test_a_package_says_what_it_takes_gives_and_follows() -> None:
    packages = [
        name for name in MODULES if (SRC.parent / name.replace(".", "/") / "__init__.py").is_file()
    ]
    offenders = [
        f"{package}: {word}"
        for package in packages
        for word in ("Takes:", "Gives:", "Source:")
        if word not in str(importlib.import_module(package).__doc__)
    ]
    assert offenders == []


def test_a_bare_import_loads_no_library() -> None:
    for code in ("import labse; dir(labse)", "import labse.cli"):
        assert loaded_modules(code).isdisjoint(HEAVY), code


def test_the_first_help_and_the_version_load_no_library() -> None:
    for arguments in (["--help"], ["--version"]):
        loaded = loaded_modules(f"from labse.cli import main; main({arguments!r})")
        assert "typer" in loaded
        assert loaded.isdisjoint({*HEAVY, "tokenizers", "safetensors", "zstandard", "pyarrow"})


def test_the_help_of_a_command_loads_no_torch() -> None:
    names = [name.split() for name, _ in commands(typer.main.get_command(app))]
    calls = "\n".join(f"main({[*name, '--help']!r})" for name in names)
    assert loaded_modules(f"from labse.cli import main\n{calls}").isdisjoint({"torch", "faiss"})


def test_all_but_training_works_without_torch() -> None:
    names = [name for name in MODULES if not name.startswith(WITH_TORCH)]
    loaded = loaded_modules("\n".join(f"import {name}" for name in names))
    assert loaded.isdisjoint({"torch", "transformers", "sentence_transformers", "pyarrow"})


def test_public_names_of_the_package_resolve_on_first_use() -> None:
    from labse.encoder.sentence_encoder import SentenceEncoder

    assert labse.SentenceEncoder is SentenceEncoder
    assert dir(labse) == sorted(labse.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        labse.nothing  # noqa: B018
    for name in labse.__all__:
        assert getattr(labse, name) is not None


def test_the_help_of_a_group_says_what_its_commands_say() -> None:
    offenders = []
    for group in (typer.main.get_command(app), typer.main.get_command(corpus.app)):
        for name in group.list_commands(NO_CONTEXT):  # type: ignore[attr-defined, arg-type]
            listed = group.get_command(NO_CONTEXT, name)  # type: ignore[attr-defined, arg-type]
            _, command, _ = group.resolve_command(NO_CONTEXT, [name])  # type: ignore[attr-defined, arg-type]
            if listed.help != " ".join(command.help.split("\n\n")[0].split()):
                offenders.append(f"{name}: {listed.help!r} is not how its own help begins")
    assert offenders == []


def test_every_command_has_examples_and_every_option_a_sentence() -> None:
    offenders = []
    for name, command in commands(typer.main.get_command(app)):
        if f"labse {name} " not in str(command.help).partition("Examples")[2]:
            offenders.append(f"labse {name}: no example")
        for option in command.params:
            text = getattr(option, "help", None) or ""
            if text.startswith("Of ") or not text.rstrip().endswith((".", "]")):
                offenders.append(f"labse {name}: {option.name}: {text!r}")
    assert offenders == []
