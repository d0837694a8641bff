import asyncio
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import labse
from labse.encoder.runtimes.numpy_runtime import NumpyRuntime
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.encoder.tokenization import TextOptions
from labse.errors import LabseError, ResourceError, UsageError
from labse.files.atomic import sha256_file
from labse.model_folder import hub
from labse.model_folder.folder import ModelFolder
from labse.model_folder.hash import hash_model_folder

BuildModel = Callable[..., ModelFolder]


class CountingRuntime:
    """A runtime of two dimensions that keeps what it was given; [1, length] before the norm."""

    batch_tokens = 64
    embedding_size = 2

    def __init__(self, vector: Sequence[float] | None = None) -> None:
        self.vector = vector
        self.batches: list[list[list[int]]] = []

    def embed(self, input_ids: Sequence[Sequence[int]]) -> np.ndarray:
        self.batches.append([list(ids) for ids in input_ids])
        rows = [self.vector or (1.0, float(len(ids))) for ids in input_ids]
        embeddings = np.array(rows, np.float32)
        return (
            embeddings if self.vector else embeddings / np.linalg.norm(embeddings, axis=1)[:, None]
        )


@pytest.fixture
def encoder(build_model: BuildModel) -> SentenceEncoder:
    model = build_model(0, pooling="mean")
    return SentenceEncoder.from_runtime(NumpyRuntime(model), model.tokenizer, max_seq_length=24)


def test_rows_are_unit_and_in_the_order_of_the_sentences(
    encoder: SentenceEncoder, sentences: list[str]
) -> None:
    embeddings = encoder.encode(sentences)

    assert embeddings.shape == (len(sentences), encoder.embedding_size)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    for row, sentence in enumerate(sentences):
        np.testing.assert_allclose(encoder.encode([sentence])[0], embeddings[row], atol=1e-6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_vectors_permute_with_the_sentences_whatever_the_batches(
    encoder: SentenceEncoder, sentences: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(sentences))))
    batch_tokens = data.draw(st.integers(1, 200))

    permuted = encoder.encode([sentences[row] for row in order], batch_tokens=batch_tokens)

    np.testing.assert_allclose(permuted, encoder.encode(sentences)[list(order)], atol=1e-6)


def test_any_sequence_of_text_is_taken_and_not_changed(encoder: SentenceEncoder) -> None:
    expected = encoder.encode(["free", "equal"])

    np.testing.assert_array_equal(encoder.encode(("free", "equal")), expected)
    np.testing.assert_array_equal(encoder.encode(np.array(["free", "equal"])), expected)


def test_no_sentences_give_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, 32)


def test_an_empty_sentence_has_the_vector_of_cls_and_sep(encoder: SentenceEncoder) -> None:
    empty, blank = encoder.encode(["", "  "])

    np.testing.assert_array_equal(empty, blank)
    np.testing.assert_allclose(empty, encoder._runtime.embed([[2, 3]])[0], atol=1e-6)


def test_equal_sentences_are_encoded_once(build_model: BuildModel) -> None:
    runtime = CountingRuntime()
    encoder = SentenceEncoder.from_runtime(runtime, build_model(0).tokenizer, max_seq_length=24)

    embeddings = encoder.encode(["free", "equal", "free", "free"])

    assert sum(len(batch) for batch in runtime.batches) == 2
    np.testing.assert_array_equal(embeddings[0], embeddings[3])
    assert embeddings[0, 1] < embeddings[1, 1]  # "equal" is one piece longer.


def test_batches_follow_the_runtime_unless_told_otherwise(
    build_model: BuildModel, sentences: list[str]
) -> None:
    runtime = CountingRuntime()
    encoder = SentenceEncoder.from_runtime(runtime, build_model(0).tokenizer, max_seq_length=24)

    encoder.encode(sentences)
    assert all(len(batch) * max(map(len, batch)) <= 64 for batch in runtime.batches)
    runtime.batches.clear()
    encoder.encode(sentences, batch_tokens=10_000)
    assert len(runtime.batches) == 1


def test_truncated_sentences_are_cut_and_counted_row_by_row(build_model: BuildModel) -> None:
    runtime = CountingRuntime()
    encoder = SentenceEncoder.from_runtime(runtime, build_model(0).tokenizer, max_seq_length=6)

    encoder.encode(["free", "rights", "rights", ""])
    assert encoder.num_truncated == 2
    assert max(len(ids) for batch in runtime.batches for ids in batch) == 6
    encoder.encode(["equality"])
    assert encoder.num_truncated == 3


def test_a_tokenizer_that_truncates_is_copied_and_left_alone(build_model: BuildModel) -> None:
    tokenizer = build_model(0).tokenizer
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    runtime = CountingRuntime()

    SentenceEncoder.from_runtime(runtime, tokenizer, max_seq_length=24).encode(["free"])

    assert len(runtime.batches[0][0]) == 6
    assert tokenizer.truncation["max_length"] == 3
    assert tokenizer.padding["length"] == 20


def test_a_tokenizer_without_special_tokens_is_refused(build_model: BuildModel) -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(LabseError, match=r"no \[CLS\] and \[SEP\]"):
        SentenceEncoder.from_runtime(
            CountingRuntime(),
            Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")),
            max_seq_length=24,
        )


def test_bytes_are_not_text(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="is of bytes"):
        encoder.encode(b"bytes")  # type: ignore[arg-type]


def test_one_string_gives_one_vector_and_any_iterable_gives_rows(encoder: SentenceEncoder) -> None:
    expected = encoder.encode(["born free", "equal"])
    np.testing.assert_array_equal(encoder.encode("born free"), expected[0])
    rows = encoder.encode((text for text in ("born free", "equal")), show_progress_bar=False)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(encoder.encode_query("equal"), expected[1])
    np.testing.assert_array_equal(encoder.encode_document(["born free", "equal"]), expected)
    assert encoder.get_sentence_embedding_dimension() == 32


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"convert_to_numpy": False}, "convert_to_tensor=True"),
        ({"output_value": "token_embeddings"}, "sentence vectors alone"),
        ({"prompt_name": "query"}, "the model has none"),
        ({"precision": "int8"}, r'storage="int8"'),
        ({"device": "cuda"}, r"on cpu; load it there with SentenceEncoder\(\.\.\., device='cuda'"),
        ({"device": ["cpu", "cpu"]}, "encode_files"),
        ({"pool": {}}, "threads=N"),
        ({"chunk_size": 5}, "encode_files"),
        ({"truncate_dim": 33}, "vectors have 32"),
        ({"normalize_embeddings": False}, "normalize_embeddings=False"),
    ],
)
def test_what_sentence_transformers_has_and_labse_not_says_what_to_write(
    encoder: SentenceEncoder, option: dict[str, object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        encoder.encode(["free"], **option)  # type: ignore[call-overload]


def test_a_keyword_of_nobody_is_an_error_of_python(encoder: SentenceEncoder) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'batchsize'"):
        encoder.encode(["free"], batchsize=2)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"mteb takes .*MtebModel"):
        encoder.encode(["free"], task_metadata=None)  # type: ignore[call-overload]


def test_prompts_devices_and_fewer_values(encoder: SentenceEncoder) -> None:
    prompted = encoder.encode(["free"], prompt="born ", device="cpu", precision="float32")
    np.testing.assert_array_equal(prompted, encoder.encode(["born free"]))
    np.testing.assert_array_equal(encoder.encode_query("free", prompt="born "), prompted[0])
    short, whole = encoder.encode("free", truncate_dim=5), encoder.encode("free")
    np.testing.assert_allclose(short, whole[:5] / np.linalg.norm(whole[:5]), atol=1e-6)
    assert encoder.device == "cpu"


def test_a_tensor_is_had_where_torch_is(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    tensor = encoder.encode(["free", "equal"], convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), encoder.encode(["free", "equal"]))
    np.testing.assert_allclose(encoder.similarity(tensor, list(tensor)).diagonal(), 1, atol=1e-6)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ResourceError, match=r'pip install "labse\[train\]"'):
        encoder.encode("free", convert_to_tensor=True)


def test_tokenize_gives_the_inputs_of_bert_padded_and_cut(encoder: SentenceEncoder) -> None:
    features = encoder.tokenize(["free", "equality " * 20, ""])
    assert features["input_ids"].shape == (3, 24)
    lengths = features["attention_mask"].sum(axis=1).tolist()
    assert lengths[1:] == [24, 2]
    assert not features["token_type_ids"].any()
    ids = features["input_ids"][0]
    assert (ids[0], ids[lengths[0] - 1], ids[lengths[0] :].any()) == (2, 3, False)
    assert encoder.tokenize([])["input_ids"].shape == (0, 0)
    np.testing.assert_array_equal(encoder.tokenize("free")["input_ids"][0], ids[: lengths[0]])


def test_the_length_can_be_set_up_to_the_positions_and_travels_along(
    folders: dict[int, Path],
) -> None:
    encoder = SentenceEncoder(folders[2])
    most = encoder._tokenizer._max_positions
    for wrong in (2, most + 1, 5.0):
        with pytest.raises(ValueError, match="max_seq_length is"):
            encoder.max_seq_length = wrong  # type: ignore[assignment]
    encoder.max_seq_length = 6
    short = encoder.encode("equality and rights and free")
    assert encoder.tokenize(["equality and rights"])["input_ids"].shape == (1, 6)
    copy = pickle.loads(pickle.dumps(encoder))
    assert (copy.max_seq_length, encoder.num_truncated) == (6, 1)
    np.testing.assert_array_equal(copy.encode("equality and rights and free"), short)
    encoder.max_seq_length = most
    assert encoder.max_seq_length == most


def test_a_saved_model_is_a_copy_or_has_the_length_that_was_set(
    folders: dict[int, Path], encoder: SentenceEncoder, tmp_path: Path
) -> None:
    original = SentenceEncoder(folders[2])
    original.save_pretrained(tmp_path / "copy")
    original.save_pretrained(folders[2])  # Onto itself: nothing is lost.
    assert hash_model_folder(tmp_path / "copy") == hash_model_folder(folders[2])
    original.max_seq_length = 6
    original.save_pretrained(tmp_path / "copy")
    saved = SentenceEncoder(tmp_path / "copy")
    assert saved.max_seq_length == 6
    text = "equality and rights and free"
    np.testing.assert_array_equal(saved.encode(text), original.encode(text))
    with pytest.raises(TypeError, match="was not loaded from a folder"):
        encoder.save_pretrained(tmp_path / "none")


@pytest.mark.parametrize("options", [{"runtime": "numpy"}, {"precision": "int8"}])
def test_a_gpu_is_refused_where_the_cpu_computes(
    folders: dict[int, Path], options: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="computes on the CPU"):
        SentenceEncoder(folders[0], device="cuda", **options)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_told(folders: dict[int, Path]) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match="device 'cuda:77': torch has none here"):
        SentenceEncoder(folders[0], device="cuda:77")
    assert SentenceEncoder(folders[0], device="cpu", runtime="torch").device == "cpu"


def test_cosines_of_pairs_and_of_single_vectors(encoder: SentenceEncoder) -> None:
    rows = encoder.encode(["born free", "equal"])
    cosines = encoder.similarity(rows, rows)
    pairwise = encoder.similarity_pairwise(rows, rows[::-1])
    np.testing.assert_allclose(pairwise, [cosines[0, 1]] * 2, atol=1e-6)
    np.testing.assert_allclose(encoder.similarity(rows[0], rows), cosines[:1], atol=1e-6)


def test_the_class_itself_loads_a_model(folders: dict[int, Path]) -> None:
    first, second = SentenceEncoder(folders[0]), SentenceEncoder.from_pretrained(folders[0])
    np.testing.assert_array_equal(first.encode(["free"]), second.encode(["free"]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("ab\ud800", "lone surrogate stands at character 2"),
        (None, "found None"),
        (float("nan"), "found nan"),
        (b"x", "found b'x'"),
    ],
)
def test_rows_that_are_no_text_are_named(
    encoder: SentenceEncoder, bad: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"row 2: .*{message}"):
        encoder.encode(["free", "", bad])


@pytest.mark.parametrize("vector", [(np.nan, 1.0), (np.inf, 0.0), (0.0, 0.0)])
def test_a_vector_that_is_not_finite_or_zero_is_never_returned(
    build_model: BuildModel, vector: tuple[float, float]
) -> None:
    runtime = CountingRuntime(vector)
    encoder = SentenceEncoder.from_runtime(runtime, build_model(0).tokenizer, max_seq_length=24)

    with (
        np.errstate(invalid="ignore"),
        pytest.raises(LabseError, match="the model gave no finite unit vector for 'free'"),
    ):
        encoder.encode(["free", "free"])


def test_threads_get_what_one_call_gets(encoder: SentenceEncoder, sentences: list[str]) -> None:
    expected = encoder.encode(sentences)
    before = encoder.num_truncated

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(encoder.encode, [sentences] * 16))

    for embeddings in results:
        np.testing.assert_array_equal(embeddings, expected)
    assert encoder.num_truncated == before * 17


def test_coroutines_get_what_one_call_gets(encoder: SentenceEncoder, sentences: list[str]) -> None:
    async def encode_all() -> list[np.ndarray]:
        calls = (asyncio.to_thread(encoder.encode, sentences) for _ in range(8))
        return await asyncio.gather(*calls)

    expected = encoder.encode(sentences)
    for embeddings in asyncio.run(encode_all()):
        np.testing.assert_array_equal(embeddings, expected)


def test_a_batch_holds_no_more_sentences_than_asked_for(build_model: BuildModel) -> None:
    runtime = CountingRuntime()
    encoder = SentenceEncoder.from_runtime(runtime, build_model(0).tokenizer, max_seq_length=24)
    encoder.encode(["free", "equal", "rights"], batch_size=2)
    assert sorted(len(batch) for batch in runtime.batches) == [1, 2]
    with pytest.raises(ValueError, match="batch_size is 0"):
        encoder.encode(["free"], batch_size=0)


@pytest.mark.parametrize(
    "limits", [{"batch_tokens": 0}, {"batch_size": 0}, {"batch_size": 1.5}, {"batch_tokens": "9"}]
)
def test_a_batch_of_no_sentences_or_half_a_one_is_refused(
    encoder: SentenceEncoder, limits: dict[str, int]
) -> None:
    (name,) = limits
    with pytest.raises(ValueError, match=f"{name} is .*at least 1"):
        encoder.encode(["free"], **limits)


def test_an_encoder_of_a_folder_is_pickled_as_its_arguments(
    folders: dict[int, Path], encoder: SentenceEncoder
) -> None:
    original = SentenceEncoder.from_pretrained(folders[0], text=TextOptions(nfc=True))

    content = pickle.dumps(original)
    copy = pickle.loads(content)

    assert len(content) < 1000
    assert copy.text == original.text
    np.testing.assert_array_equal(copy.encode(["born free"]), original.encode(["born free"]))
    with pytest.raises(TypeError, match="was not loaded from a folder"):
        pickle.dumps(encoder)


def test_an_encoder_tells_what_it_computes_with(encoder: SentenceEncoder) -> None:
    assert repr(encoder).startswith(
        "SentenceEncoder(runtime='numpy', embedding_size=32, max_seq_length=24, text=TextOptions("
    )


def test_long_sentences_are_counted_whether_cut_or_averaged(build_model: BuildModel) -> None:
    model = build_model(0, pooling="mean")
    for long, num_truncated in (("truncate", 2), ("mean", 0)):
        encoder = SentenceEncoder.from_runtime(
            NumpyRuntime(model),
            model.tokenizer,
            max_seq_length=6,
            text=TextOptions(long=long),
        )
        embeddings = encoder.encode(["free", "rights", "rights"])
        assert (encoder.num_long, encoder.num_truncated) == (2, num_truncated)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    # By hand: windows of 4 and 2 pieces, each with [CLS] and [SEP].
    windows = SentenceEncoder.from_runtime(NumpyRuntime(model), model.tokenizer, max_seq_length=24)
    ids = model.tokenizer.encode("rights").ids
    first, second = windows._runtime.embed([[*ids[:5], ids[-1]], [ids[0], *ids[5:]]])
    expected = 6 * first + 4 * second
    np.testing.assert_allclose(embeddings[1], expected / np.linalg.norm(expected), atol=1e-6)


def test_an_encoder_knows_the_hash_of_its_model_and_its_runtime(
    folders: dict[int, Path], build_model: BuildModel
) -> None:
    encoder = SentenceEncoder.from_pretrained(folders[0])
    assert encoder.hash_model() == hash_model_folder(folders[0])
    assert encoder.runtime_name == "numpy"
    by_hand = SentenceEncoder.from_runtime(
        CountingRuntime(), build_model(0).tokenizer, max_seq_length=24
    )
    assert by_hand.hash_model() is None
    assert by_hand.runtime_name == "counting"


def test_progress_is_drawn_on_a_terminal_only_and_never_on_standard_output(
    encoder: SentenceEncoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    encoder.encode(["free"], show_progress_bar=True)
    assert capsys.readouterr().err == ""

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    encoder.encode(["free", "equal"], show_progress_bar=True)
    assert "2/2" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_similarity_is_the_cosine_of_every_pair() -> None:
    source = np.array([[3, 4], [1, 0]], np.float32)
    target = np.array([[2, 0], [0, 5], [3, 4]], np.float32)

    cosines = SentenceEncoder.similarity(source, target)
    np.testing.assert_array_equal(
        SentenceEncoder.similarity(source.tolist(), target.tolist()), cosines
    )

    np.testing.assert_allclose(cosines, [[0.6, 0.8, 1], [1, 0, 0.6]], atol=1e-6)
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(1, 3\)"):
        SentenceEncoder.similarity(source, np.zeros(3, np.float32))


def flip_bit(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("is_cached", [False, True])
def test_a_flipped_bit_is_found_and_no_copy_of_it_is_kept(
    folders: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cached: bool
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    if is_cached:
        SentenceEncoder.from_pretrained(folders[2])
    for byte in (-1, -5000):
        flip_bit(folders[2] / "model.safetensors", byte)
        with pytest.raises(LabseError, match=r"model.safetensors: its SHA-256"):
            SentenceEncoder.from_pretrained(folders[2])
        assert len(list(tmp_path.glob("cache/ctranslate2/*"))) == is_cached
        flip_bit(folders[2] / "model.safetensors", byte)
    SentenceEncoder.from_pretrained(folders[2])


@pytest.mark.parametrize("layers", [0, 2])
def test_nan_under_its_right_hash_is_found_all_the_same(
    folders: dict[int, Path], tmp_path: Path, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    weights = load_file(folders[layers] / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] = np.nan
    save_file(weights, folders[layers] / "model.safetensors")
    manifest = json.loads((folders[layers] / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = sha256_file(folders[layers] / "model.safetensors")
    (folders[layers] / "manifest.json").write_text(json.dumps(manifest))

    for _ in range(2):
        with pytest.raises(LabseError, match=r"'embeddings.LayerNorm.bias' holds NaN"):
            SentenceEncoder.from_pretrained(folders[layers])


def test_a_folder_written_anew_in_place_does_not_disturb_an_encoder(
    folders: dict[int, Path], sentences: list[str]
) -> None:
    encoder = SentenceEncoder.from_pretrained(folders[0])
    expected = encoder.encode(sentences)
    for file in folders[0].rglob("*.safetensors"):
        with file.open("r+b") as stream:
            stream.write(bytes(file.stat().st_size))

    np.testing.assert_array_equal(encoder.encode(sentences), expected)


def test_no_path_is_the_packaged_model_and_without_one_an_error_that_says_so(
    folders: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DEFAULT_FOLDER", folders[0])
    assert SentenceEncoder.from_pretrained().max_seq_length == 17

    monkeypatch.setattr(hub, "DEFAULT_FOLDER", tmp_path / "none")
    with pytest.raises(LabseError, match=r"no default model is packaged.*give the path"):
        SentenceEncoder.from_pretrained()


def test_neither_import_nor_the_numpy_and_cached_runtimes_load_torch(
    folders: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(labse.__file__).parents[1]))
    SentenceEncoder.from_pretrained(folders[2])  # Converts, for which CTranslate2 loads torch.
    program = (
        "import sys, labse.encoder.sentence_encoder as s\n"
        "for path in sys.argv[1:]: s.SentenceEncoder.from_pretrained(path).encode(['free'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )

    subprocess.run(
        [sys.executable, "-c", program, *map(str, folders.values())], check=True, timeout=100
    )
