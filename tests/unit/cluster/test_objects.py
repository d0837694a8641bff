"""An address stands where a path can: fsspec's memory:// is the store."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.json_executor import JsonExecutor

from labse.cleaning.bounds import TextBounds
from labse.cleaning.pipeline import clean, decide
from labse.cli import main
from labse.cluster.tasks import Task, run_step
from labse.corpus.shards import expand_folders, iter_sentences
from labse.errors import LabseError, ResourceError, UsageError
from labse.files import objects
from labse.files.atomic import check_writable, make_folder, write_atomic
from labse.files.npy import load_array, save_array
from labse.files.object_store import find_url, restore_urls
from labse.files.objects import keep_pins, local_file
from labse.files.stage import open_stage
from labse.files.text import read_lines

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem as Store

fsspec = pytest.importorskip("fsspec")

DE = "Das ist ein Hund.\nWo ist der Bahnhof?\nEs regnet.\nDas ist ein Hund.\n!\n"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator["Store"]:
    """An empty store, for a process that has seen nothing of it."""
    monkeypatch.setattr(objects, "_PINS", {})
    monkeypatch.setattr(objects, "_COPIES", {})
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pipe_file("/b/raw/news.de.txt", DE.encode())
    yield system
    system.store.clear()


def forget() -> None:
    """What another process, which begins later, does not know."""
    objects._PINS.clear()
    objects._COPIES.clear()


def kept_rows(files: list[str]) -> list[str]:
    return [row.text for file in files for row in iter_sentences(file, None)]


def run_clean(out: str | Path, work: Path | None, **more: object) -> Mapping[str, object]:
    options = {"lang": "de", "rows_per_shard": 2, "identify": False, **more}
    return clean("memory://b/raw/news.de.txt", out, work=work, **options).counts


def test_an_address_survives_a_path() -> None:
    for url in ("s3://b/k.txt", "gs://b/a/k", "memory://b/k", "file:///a/k"):
        assert find_url(Path(url)) == find_url(Path("/home/me", url)) == find_url(url) == url
    for path in ("b/k", "/s3/b", "C:/b", "s3:", "https://host/k"):
        assert find_url(path) is None
    assert restore_urls("s3:/b/k: not there, s3://b/k") == "s3://b/k: not there, s3://b/k"


def test_an_address_that_names_no_bucket_is_told_by_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("news.de").write_text(DE, encoding="utf-8")
    for command in (
        "encode s3:// --out v.npy",
        "encode news.de --out s3://",
        "encode news.de --out s3:/// --shard-rows 2",
        "mine news.de s3://",
        "index s3:// --out store",
        "corpus clean s3:// --lang de --out clean",
        "corpus clean news.de --lang de --out s3:// --work work",
        "train --init default --pairs s3:// --out tuned",
        "web pages s3:// --out pages",
        "info s3://",
        "plot s3://",
    ):
        assert main(command.split()) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.endswith("s3://: names nothing in the store; give s3://BUCKET/NAME")
    assert [path.name for path in tmp_path.iterdir()] == ["news.de"]
    Path("s3:").write_text("A file of the user.\n", encoding="utf-8")
    assert find_url(Path("s3:")) is None


def test_an_object_is_read_and_written_like_a_file(store: "Store") -> None:
    with write_atomic(Path("memory://b/new.txt")) as stream:
        stream.write(b"a\nb\n")
        assert not store.exists("/b/new.txt")
    assert list(read_lines("memory://b/new.txt")) == ["a", "b"]
    assert expand_folders("memory://b/raw/*.de.txt") == ["memory://b/raw/news.de.txt"]
    with pytest.raises(ZeroDivisionError), write_atomic("memory://b/none.txt") as stream:
        stream.write(bytes([1 // 0]))
    assert sorted(store.find("/b")) == ["/b/new.txt", "/b/raw/news.de.txt"]
    with pytest.raises(UsageError, match="would replace"):
        check_writable("memory://b/new.txt", inputs=[Path("memory://b/new.txt")])
    with pytest.raises(LabseError, match=r"memory://b/no\.txt: no such object"):
        list(read_lines("memory://b/no.txt"))


def test_a_disk_is_a_store_too(store: "Store", tmp_path: Path) -> None:
    url = f"file://{tmp_path}/new/a.txt"
    check_writable(url)
    with write_atomic(url) as stream:
        stream.write(b"a\n")
    assert expand_folders(f"file://{tmp_path}/new/*.txt") == [url]
    assert list(read_lines(url)) == ["a"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_an_object_that_was_replaced_is_told(store: "Store") -> None:
    objects.identify("memory://b/raw/news.de.txt")
    store.pipe_file("/b/raw/news.de.txt", DE.upper().encode())
    with pytest.raises(LabseError, match="was replaced while it was used"):
        local_file("memory://b/raw/news.de.txt")
    assert local_file("memory://b/raw/news.de.txt").read_text() == DE.upper()


def test_a_task_reads_what_the_command_saw_and_writes_names_of_its_own(store: "Store") -> None:
    task = Task("t", copy_step, {}, places={"path": "memory://b/a", "out": "memory://b/c.txt"})
    store.pipe_file("/b/a.1", b"x")
    pins = {
        "memory://b/a": {"url": "memory://b/a.1", "identity": objects.identify("memory://b/a.1")}
    }
    results = [
        run_step(copy_step, {**task.places, "objects": {"run": "12345678", "pins": pins}}, ())
        for _ in range(2)
    ]
    parts = [result["parts"]["memory://b/c.txt"] for result in results]  # type: ignore[index]
    assert len({part["url"] for part in parts}) == 2
    assert len({part["sha256"] for part in parts}) == 1
    keep_pins(results[1]["parts"])  # type: ignore[arg-type]
    assert list(read_lines("memory://b/c.txt")) == ["x"]
    assert not store.exists("/b/c.txt")


def copy_step(path: str, out: str) -> dict[str, object]:
    with write_atomic(out) as stream:
        stream.write(local_file(path).read_bytes())
    return {}


def test_cleaning_into_a_store_keeps_the_rows_of_a_folder(store: "Store", tmp_path: Path) -> None:
    counts = run_clean(tmp_path / "there", None)
    forget()
    assert run_clean("memory://b/clean", tmp_path / "work", workers=JsonExecutor()) == counts
    forget()  # Another command reads it: the manifest names the parts.
    rows = kept_rows(expand_folders("memory://b/clean"))
    assert rows == kept_rows(expand_folders(tmp_path / "there"))
    assert rows[0] == "Das ist ein Hund."
    manifest = json.loads(store.cat_file("/b/clean/manifest.json"))
    named = {f"/b/clean/{part['object']}" for part in manifest["parts"].values()}
    assert named | {"/b/clean/manifest.json"} == set(store.find("/b/clean"))


def test_a_killed_run_goes_on_and_strays_go(
    store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = type(store).put_file, []

    def put_some(self: "Store", file: str, key: str, **options: object) -> None:
        calls.append(key)
        if len(calls) == 5:
            raise KeyboardInterrupt
        put(self, file, key, **options)

    monkeypatch.setattr(type(store), "put_file", put_some)
    with pytest.raises(LabseError, match="the same command goes on"):
        run_clean("memory://b/clean", tmp_path / "work")
    run = json.loads((tmp_path / "work/progress.jsonl").read_text().splitlines()[1])
    name = run["result"]["name"]
    store.pipe_file(f"/b/clean/scores/news.de/part-00000.{name}-00000000.parquet", b"cut off")
    forget()

    run_clean("memory://b/clean", tmp_path / "work")
    assert len(calls) == len(set(calls)) == 5 + 5 + 1  # 3 shards, scores, kept; one tried again.
    assert not store.glob("/b/clean/**/*-00000000.parquet")
    lost = store.glob("/b/clean/kept/**/*.parquet")[0]
    store.rm_file(lost)
    forget()
    run_clean("memory://b/clean", tmp_path / "work")
    assert len(store.glob("/b/clean/kept/**/*.parquet")) == 3
    forget()
    decide(tmp_path / "work", bounds=TextBounds(min_characters=12))
    forget()
    assert kept_rows(expand_folders("memory://b/clean")) == [
        "Das ist ein Hund.",
        "Wo ist der Bahnhof?",
        "Das ist ein Hund.",
    ]


def test_what_a_store_cannot_take_is_told_before_the_work(
    store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="give --work too"):
        run_clean("memory://b/clean", None)
    with pytest.raises(UsageError, match="--work is for an --out in an object store"):
        run_clean(tmp_path / "out", tmp_path / "work")
    with pytest.raises(UsageError, match="holds other objects"):
        run_clean("memory://b/raw", tmp_path / "work")
    with (
        pytest.raises(UsageError, match="needs a folder on a disk"),
        open_stage(Path("memory://b/stage"), {}),
    ):
        pass

    with pytest.raises(UsageError, match="s3://b/vocab: this needs a folder"):
        make_folder(tmp_path / "s3:/b/vocab")  # A relative path that was made absolute.
    with pytest.raises(UsageError, match="memory://b/raw: is a folder of objects"):
        check_writable("memory://b/raw")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(store), "pipe_file", refuse)
    with pytest.raises(ResourceError, match=r"gives no access \(Access Denied\); check"):
        check_writable("memory://b/pairs.tsv")


def test_no_folder_is_made_of_an_address_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="S3://: no address that labse knows"):
        check_writable(tmp_path / "S3://b/pairs.tsv")
    with pytest.raises(UsageError, match="hdfs://: no address that labse knows"):
        make_folder(tmp_path / "hdfs://b/vectors")
    assert not list(tmp_path.iterdir())
    (tmp_path / "notes:").mkdir()  # Of the user's own.
    make_folder(tmp_path / "notes:/vectors")


def test_a_name_may_be_longer_than_that_of_a_file(store: "Store") -> None:
    name = f"memory://b/{'ä' * 300}.npy"
    save_array(name, np.ones(2))
    forget()
    assert load_array(name).tolist() == [1, 1]


def test_vectors_in_a_store_are_mapped(store: "Store") -> None:
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    save_array("memory://b/v.npy", array)
    forget()
    assert (load_array("memory://b/v.npy") == array).all()
