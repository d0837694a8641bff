import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.runtimes import ctranslate2_runtime
from labse.encoder.runtimes.ctranslate2_runtime import CTranslate2Runtime
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.system import cache_folder, count_cpus, count_threads
from labse.model_folder.folder import ModelFolder
from labse.model_folder.int8 import narrow_weights

BuildModel = Callable[..., ModelFolder]
INPUT_IDS = [[2, 7, 3], [2, 3], [2, 9, 8, 7, 3]]


def key() -> str:
    """Stands for the hash of a folder."""
    return "5" * 64


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ctranslate2"


def test_ragged_rows_are_unit_and_do_not_depend_on_their_batch(
    build_model: BuildModel, cache: Path
) -> None:
    runtime = CTranslate2Runtime(build_model(pooling="mean"), threads=1)

    together = runtime.embed(INPUT_IDS)
    alone = np.concatenate([runtime.embed([np.array(ids, np.int32)]) for ids in INPUT_IDS])

    assert together.shape == (3, 32)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_bytes_do_not_depend_on_the_number_of_threads(
    build_model: BuildModel, cache: Path, precision: str
) -> None:
    model = build_model(pooling="mean")
    generator = np.random.default_rng(0)
    input_ids = [
        generator.integers(5, model.config.bert.vocab_size, length)
        for length in generator.integers(1, 24, 200)
    ]
    runtimes = [
        CTranslate2Runtime(model, precision=precision, threads=threads)  # type: ignore[arg-type]
        for threads in (1, 2, 3)
    ]

    first, *others = [runtime.embed(input_ids) for runtime in runtimes]

    assert len(ctranslate2_runtime._split(np.array([len(ids) for ids in input_ids]), 512)) > 4
    for other in others:
        np.testing.assert_array_equal(other, first)
    for row in (0, 17, 199):  # In its place, whatever part it was in.
        np.testing.assert_allclose(runtimes[0].embed([input_ids[row]])[0], first[row], atol=1e-6)


def test_threads_follow_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    num_cpus = count_cpus()
    for stated, expected in {"3": 3, "": num_cpus, "0": num_cpus, "2,1": num_cpus}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
        assert count_threads() == expected


def test_no_sentences_give_no_rows(build_model: BuildModel, cache: Path) -> None:
    runtime = CTranslate2Runtime(build_model(embedding_size=12), threads=1)

    assert runtime.embed([]).shape == (0, 12)


def test_the_converted_model_is_kept_and_used_again(
    build_model: BuildModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CTranslate2Runtime(build_model(), threads=1, model_sha256=key).embed(INPUT_IDS)
    assert len(list(cache.iterdir())) == 1

    def fail(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(ctranslate2_runtime, "_convert", fail)
    again = CTranslate2Runtime(build_model(), threads=1, model_sha256=key)
    np.testing.assert_array_equal(again.embed(INPUT_IDS), first)


def test_weights_that_are_in_the_cache_are_not_read(build_model: BuildModel, cache: Path) -> None:
    model = build_model()
    CTranslate2Runtime(model, threads=1, model_sha256=key)
    dense = {name: w for name, w in model.weights.items() if name.startswith("dense.")}

    again = CTranslate2Runtime(replace(model, weights=dense), threads=1, model_sha256=key)

    assert np.isfinite(again.embed(INPUT_IDS)).all()


def test_other_folders_and_precisions_have_their_own_place(
    build_model: BuildModel, cache: Path
) -> None:
    model = build_model()
    for sha256 in (key, lambda: "6" * 64):
        CTranslate2Runtime(model, threads=1, model_sha256=sha256)
        CTranslate2Runtime(model, precision="int8", threads=1, model_sha256=sha256)

    assert len(list(cache.iterdir())) == 4


def test_a_model_made_in_memory_is_not_kept(build_model: BuildModel, cache: Path) -> None:
    CTranslate2Runtime(build_model(), threads=1)

    assert list(cache.iterdir()) == []


def test_a_model_whose_checks_fail_is_not_kept(build_model: BuildModel, cache: Path) -> None:
    def fail() -> None:
        raise LabseError("the file is damaged")

    damaged = replace(build_model(), wait_for_checks=fail)
    with pytest.raises(LabseError, match="the file is damaged"):
        CTranslate2Runtime(damaged, threads=1, model_sha256=key)

    assert not list(cache.glob("*"))


def test_what_killed_conversions_left_is_removed_when_it_is_old(
    build_model: BuildModel, cache: Path
) -> None:
    for name, age in ((".converting-old", 7200), (".converting-now", 60)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age,) * 2)

    CTranslate2Runtime(build_model(), threads=1)

    assert [path.name for path in cache.iterdir()] == [".converting-now"]


def test_a_damaged_copy_is_made_again(build_model: BuildModel, cache: Path) -> None:
    first = CTranslate2Runtime(build_model(), threads=1, model_sha256=key).embed(INPUT_IDS)
    (binary,) = cache.glob("*/model.bin")
    binary.write_bytes(binary.read_bytes()[:100])

    second = CTranslate2Runtime(build_model(), threads=1, model_sha256=key).embed(INPUT_IDS)

    np.testing.assert_array_equal(second, first)
    assert binary.stat().st_size > 100


def test_a_cache_that_cannot_be_written_is_done_without(
    build_model: BuildModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    runtime = CTranslate2Runtime(build_model(), threads=1, model_sha256=key)

    assert np.isfinite(runtime.embed(INPUT_IDS)).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "vocab"]


def test_no_room_at_all_is_an_error_that_says_what_to_set(
    build_model: BuildModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(ResourceError, match="set LABSE_CACHE"):
        CTranslate2Runtime(build_model(), threads=1)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LABSE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/ctranslate2"),
        ({"LABSE_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/labse/ctranslate2"),
        ({"HOME": "/c"}, "/c/.cache/labse/ctranslate2"),
    ],
)
def test_the_cache_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("LABSE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cache_folder("ctranslate2") == Path(expected)


def test_the_weights_are_not_changed(build_model: BuildModel, cache: Path) -> None:
    model, untouched = build_model(), build_model()

    CTranslate2Runtime(model, precision="int8", threads=1).embed(INPUT_IDS)

    for name, array in untouched.weights.items():
        np.testing.assert_array_equal(model.weights[name], array)


def test_a_model_without_layers_is_refused(build_model: BuildModel, cache: Path) -> None:
    with pytest.raises(UsageError, match="needs at least one layer"):
        CTranslate2Runtime(build_model(0))


def test_a_cpu_without_int8_is_told(
    build_model: BuildModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ctranslate2.get_supported_compute_types", lambda device: {"float32"}, raising=True
    )
    with pytest.raises(UsageError, match="no int8 on this CPU"):
        CTranslate2Runtime(build_model(), precision="int8")


def test_int8_rows_of_a_folder_are_computed_as_what_they_stand_for(
    build_model: BuildModel, cache: Path
) -> None:
    model = build_model()
    stored = replace(model, weights=narrow_weights(model.weights, "int8"))
    widened = replace(model, weights=dict(stored.weights))

    embeddings = [
        CTranslate2Runtime(each, threads=1).embed(INPUT_IDS) for each in (stored, widened)
    ]

    np.testing.assert_array_equal(*embeddings)


def test_many_may_convert_one_model_at_the_same_time(build_model: BuildModel, cache: Path) -> None:
    model = build_model()
    with ThreadPoolExecutor(4) as pool:
        runtimes = pool.map(
            lambda _: CTranslate2Runtime(model, threads=1, model_sha256=key), range(8)
        )
        first, *others = [runtime.embed(INPUT_IDS) for runtime in runtimes]

    for other in others:
        np.testing.assert_array_equal(other, first)
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []
