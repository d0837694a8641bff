"""The shape of the program: layers, public names, what an import loads, a test for each module."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import labse

SRC = Path(labse.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SRC.rglob("*.py")
    if path.name != "__main__.py"  # It runs the program when it is imported.
)
# Where a module's tests stand, if not at its place in tests/unit.
TESTED_ELSEWHERE = {
    "labse": "test_architecture.py",
    "labse.cli": "unit/cli/test_main.py",
    "labse.cli.__main__": "system/test_cli.py",
}
# Not pydantic: typer itself loads it to read arguments.
HEAVY = ("torch", "transformers", "sentence_transformers", "numpy", "ctranslate2")


def is_package(name: str) -> bool:
    return (SRC.parent / name.replace(".", "/") / "__init__.py").is_file()


def loaded_modules(code: str) -> set[str]:
    """Returns the top-level packages that a fresh interpreter holds after running `code`."""
    tell = "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    script = f"import sys\n{code}\n{tell}"
    environment = {"PYTHONPATH": str(SRC.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


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


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(name)
    is_docstring_only = (
        Path(str(module.__file__)).name == "__init__.py" and len(ast_body(name)) == 1
    )
    if is_docstring_only:
        return
    names = module.__all__
    assert names == sorted(names, key=sort_key)
    for public in names:
        assert getattr(module, public) is not None


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_and_module_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{public}"


@pytest.mark.parametrize("package", [name for name in MODULES if is_package(name)])
def test_a_package_says_what_it_takes_gives_and_follows(package: str) -> None:
    docstring = str(importlib.import_module(package).__doc__)
    for word in ("Takes:", "Gives:", "Source:"):
        assert word in docstring


def test_every_module_has_a_test_module() -> None:
    missing = []
    for name in [*MODULES, "labse.cli.__main__"]:
        if is_package(name) and len(ast_body(name)) == 1:
            continue
        *folders, last = name.split(".")[1:] or [""]
        default = "/".join(["unit", *folders, f"test_{last}.py"])
        path = ROOT / "tests" / TESTED_ELSEWHERE.get(name, default)
        if not path.is_file():
            missing.append(str(path.relative_to(ROOT)))
    assert missing == []


def test_every_unit_test_module_tests_a_module() -> None:
    unit = ROOT / "tests" / "unit"
    known = {ROOT / "tests" / path for path in TESTED_ELSEWHERE.values()}
    strays = [
        str(path.relative_to(unit))
        for path in sorted(unit.rglob("test_*.py"))
        if path not in known
        and not (SRC / path.relative_to(unit).with_name(path.name.removeprefix("test_"))).is_file()
    ]
    assert strays == []


@pytest.mark.parametrize("code", ["import labse; dir(labse)", "import labse.cli"])
def test_a_bare_import_loads_no_library(code: str) -> None:
    assert loaded_modules(code).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version_load_no_library(arguments: list[str]) -> None:
    loaded = loaded_modules(f"from labse.cli import main; main({arguments!r})")
    assert "typer" in loaded
    assert loaded.isdisjoint({*HEAVY, "tokenizers", "safetensors", "zstandard", "pyarrow"})


@pytest.mark.parametrize(
    "name",
    [
        "labse.config",
        "labse.corpus.readers",
        "labse.dual_encoder.folder",
        "labse.dual_encoder.lineage",
        "labse.dual_encoder.prepare",
        "labse.encoder.adapters",
        "labse.encoder.diagnosis",
        "labse.encoder.embedding_file",
        "labse.encoder.sentence_encoder",
        "labse.encoder.shard_run",
        "labse.encoder.verification",
        "labse.evaluation.report",
        "labse.mining.bitext",
        "labse.search.knn",
        "labse.vocab.folder",
    ],
)
def test_all_but_training_works_without_torch(name: str) -> None:
    loaded = loaded_modules(f"import {name}")
    assert loaded.isdisjoint({"torch", "transformers", "sentence_transformers", "pyarrow"})


def test_public_names_of_the_package_resolve_on_first_use() -> None:
    from labse.encoder.sentence_encoder import SentenceEncoder

    assert labse.SentenceEncoder is SentenceEncoder
    assert dir(labse) == sorted(labse.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        labse.nothing  # noqa: B018


def test_the_files_that_are_no_code_lie_in_the_package() -> None:
    assert (SRC / "corpus" / "languages.tsv").is_file()


def ast_body(name: str) -> list[ast.stmt]:
    path = SRC.parent / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text("utf-8")).body


def sort_key(name: str) -> tuple[int, str]:
    """Constants, classes, functions, each by name: the order that ruff (RUF022) keeps."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name
