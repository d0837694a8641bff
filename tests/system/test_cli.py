"""The program as a user runs it: processes, pipes, signals, exit codes.

One tiny model (one layer, a cipher of 240 pairs) is trained for all tests; seconds.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import labse

pytestmark = pytest.mark.system

WORDS = [
    "red",
    "blue",
    "dog",
    "cat",
    "tree",
    "house",
    "runs",
    "sleeps",
    "big",
    "small",
    "two",
    "three",
    "here",
    "there",
    "sun",
    "moon",
]
CIPHER = {
    word: "".join(chr(ord("а") + ord(letter) - ord("a")) for letter in word) for word in WORDS
}
CONFIG = """
[data]
pairs = ["pairs.tsv"]
[model]
pooling = "mean"
projection = "linear"
max_seq_length = 16
[model.bert]
hidden_size = 32
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 48
max_position_embeddings = 16
[train]
seed = 3
train_steps = 150
global_batch_size = 32
logit_scale = 20.0
logit_margin = 0.1
lr = 3e-3
adam_eps = 1e-8
warmup_steps = 10
sparse_embeddings = true
embedding_lr = 0.1
log_every = 1
eval_every = 75
checkpoint_every = 50
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds config.toml, pairs.tsv, vocab/, tatoeba/, a trained run/ and two files to mine."""
    folder = tmp_path_factory.mktemp("work")
    sentences = cipher_sentences(300)
    training, held_out = sentences[:240], sentences[240:]
    rows = [f"rus\t{text}\t{encipher(text)}" for text in training]
    write_lines(folder / "pairs.tsv", ["lang\tenglish\ttext", *rows])
    (folder / "config.toml").write_text(CONFIG)
    (folder / "tatoeba").mkdir()
    write_lines(folder / "tatoeba" / "tatoeba.rus-eng.eng", held_out)
    write_lines(folder / "tatoeba" / "tatoeba.rus-eng.rus", map(encipher, held_out))
    write_lines(folder / "source.txt", [encipher(text) for text in held_out[:40]])
    write_lines(folder / "target.txt", reversed(held_out[:50]))
    write_lines(folder / "empty.txt", [])

    labse_ok(folder, "vocab", "pairs.tsv", "--out", "vocab", "--vocab-size", 300)
    train = ("train", "config.toml", "--vocab", "vocab", "--out", "run", "--evaluate", "tatoeba")
    labse_ok(folder, *train)
    return folder


# ---- The whole road ----


def test_what_is_trained_finds_translations(work: Path) -> None:
    ran = labse_ok(work, "evaluate", "tatoeba", "tatoeba", "--model", "run/model", "--json")
    report = json.loads(ran.stdout)
    assert report["mean"]["p_at_1"] > 0.9  # 60 sentences: guessing gives 1/60.

    # The score of the trained model in training is that of its folder in the other runtime.
    rows = [json.loads(line) for line in (work / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = [row["tatoeba_p_at_1"] for row in rows if "tatoeba_p_at_1" in row]
    assert len(scores) == 2
    assert scores[-1] == pytest.approx(report["mean"]["p_at_1"], abs=0.02)


def test_mining_reads_a_pipe_and_writes_a_pipe(work: Path) -> None:
    options = ("target.txt", "--model", "run/model", "--ids")
    from_pipe = start(work, "mine", "-", *options, stdin=subprocess.PIPE)
    out, _ = from_pipe.communicate((work / "source.txt").read_bytes(), timeout=60)
    assert from_pipe.returncode == 0
    assert out == labse_ok(work, "mine", "source.txt", *options).stdout
    header, *rows = [line.split("\t") for line in out.decode().splitlines()]
    assert header[:3] == ["margin_score", "source", "target"]
    right = [row for row in rows if row[1] == encipher(row[2])]
    assert len(right) >= 38  # Of 40.
    for row in rows:
        assert line_of(work / "source.txt", int(row[3])) == row[1]
        assert line_of(work / "target.txt", int(row[4])) == row[2]


def test_a_reader_that_leaves_early_is_no_error(work: Path) -> None:
    # 60 rows of 3 KB are more than a pipe holds (64 KiB on Linux) and the reader takes (8 KiB), so
    # that writing fails however late the reader leaves.
    sentences = [" ".join([text] * 80) for text in cipher_sentences(60)]
    write_lines(work / "many.txt", sentences)
    write_lines(work / "many2.txt", [*sentences, "one more"])
    with start(work, "mine", "many.txt", "many2.txt", "--model", "run/model", "--ids") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert b"Traceback" not in process.stderr.read()


def test_encoding_keeps_rows_whatever_the_file_is_packed_in(work: Path) -> None:
    text = b"red dog\n\n" + "о\u2028о".encode() + b"\r\n\nlast"
    (work / "rows.txt").write_bytes(text)
    (work / "rows.txt.gz").write_bytes(gzip.compress(text))
    arrays = []
    for source in ("rows.txt", "rows.txt.gz", "-"):
        options = ("encode", source, "--out", "rows.npy", "--model", "run/model")
        process = start(work, *options, stdin=subprocess.PIPE)
        process.communicate(text if source == "-" else b"", timeout=60)
        assert process.returncode == 0
        arrays.append(np.load(work / "rows.npy"))
    assert arrays[0].shape == (5, 32)
    np.testing.assert_allclose(np.linalg.norm(arrays[0], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(arrays[0][1], arrays[0][3])
    np.testing.assert_array_equal(arrays[0], arrays[1])
    np.testing.assert_array_equal(arrays[0], arrays[2])


def test_info_tells_the_lineage_and_notices_a_change(work: Path) -> None:
    for path, kind in (
        ("vocab", "vocabulary"),
        ("run", "run"),
        ("run/model", "model"),
        ("run/checkpoints/step-000000150", "checkpoint"),
    ):
        described = json.loads(labse_ok(work, "info", path, "--json").stdout)
        assert described["kind"] == kind
    assert b"pairs.tsv" in labse_ok(work, "info", "run/model").stdout

    weights = work / "run" / "model" / "model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        ran = run(work, "info", "run/model")
        assert ran.returncode == 3
        assert b"changed" in ran.stdout
        assert run(
            work, "encode", "source.txt", "--out", "v.npy", "--model", "run/model"
        ).returncode
    finally:
        weights.write_bytes(original)


# ---- Vocabulary ----


def test_counts_of_two_halves_give_the_vocabulary_of_one_pass(work: Path, tmp_path: Path) -> None:
    header, *rows = (work / "pairs.tsv").read_text("utf-8").splitlines()
    for name, half in (("1", rows[:100]), ("2", rows[100:])):
        write_lines(tmp_path / f"pairs{name}.tsv", [header, *half])
        ran = labse_ok(tmp_path, "vocab", f"pairs{name}.tsv", "--counts", f"counts{name}")
        assert b"words of 2 languages counted" in ran.stderr

    labse_ok(tmp_path, "vocab", "counts1", "counts2", "--out", "vocab", "--vocab-size", 300)
    for name in ("vocab.txt", "tokenizer.json"):
        assert (tmp_path / "vocab" / name).read_bytes() == (work / "vocab" / name).read_bytes()


def test_kept_counts_spare_the_next_vocabulary_the_counting(work: Path, tmp_path: Path) -> None:
    vocab = ("vocab", work / "pairs.tsv", "--counts", "counts", "--vocab-size", 300)
    first = labse_ok(tmp_path, *vocab, "--out", "vocab")
    assert b"pairs.tsv: 240 rows" in first.stderr
    again = labse_ok(tmp_path, *vocab, "--out", "vocab-bpe", "--algorithm", "bpe")
    assert b"pairs.tsv: 240 rows" not in again.stderr
    assert (tmp_path / "vocab" / "vocab.txt").read_bytes() == (
        work / "vocab" / "vocab.txt"
    ).read_bytes()


def test_a_vocabulary_names_no_temporary_path(work: Path, tmp_path: Path) -> None:
    ran = labse_ok(tmp_path, "vocab", work / "pairs.tsv", "--out", "vocab", "--vocab-size", 300)
    assert b".tmp" not in ran.stderr
    assert os.listdir(tmp_path) == ["vocab"]


def test_a_vocabulary_reports_on_languages_and_scripts(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ("--vocab-size", 300, "--report", "report")
    ran = labse_ok(tmp_path, "vocab", work / "pairs.tsv", "--out", "vocab", *options)
    rows = [line.split() for line in ran.stdout.decode().splitlines()]
    assert rows[0] == ["language", "words", "[UNK]", "%", "pieces/word", "chars/piece"]
    assert [row[:3] for row in rows[1:4]] == [
        ["eng", "960", "0.000"],
        ["rus", "960", "0.000"],
        ["mean", "0.000", rows[3][2]],
    ]
    assert {"Latin", "Cyrillic"} <= {row[0] for row in rows[4:] if row}

    (tmp_path / "report" / "report.png").unlink()
    ran = labse_ok(tmp_path, "vocab", work / "pairs.tsv", "--out", "vocab", *options, "--json")
    written = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert json.loads(ran.stdout)["report"] == written
    assert (tmp_path / "report" / "report.png").read_bytes().startswith(b"\x89PNG")


# ---- Interruptions ----


def test_a_terminated_run_goes_on_to_the_same_bits(work: Path) -> None:
    train = ("train", "config.toml", "--vocab", "vocab", "--out", "stopped")
    process = start(work, *train)
    assert process.stderr is not None
    for line in process.stderr:  # Columns begin when the first update is done.
        if line.split()[:1] == [b"5"]:
            break
    process.send_signal(signal.SIGTERM)
    last = process.stderr.read().decode().splitlines()[-1]
    assert process.wait(timeout=60) == 5
    assert process.stdout is not None
    process.stdout.close()
    process.stderr.close()
    assert last.startswith("labse: error: stopped at step ")
    assert last.endswith(" of 150; the same command goes on")
    assert not (work / "stopped" / "model").exists()

    resumed = labse_ok(work, *train)
    assert b"tokens of an earlier start" in resumed.stderr
    for name in ("model.safetensors", "2_Dense/model.safetensors"):
        assert (work / "stopped" / "model" / name).read_bytes() == (
            work / "run" / "model" / name
        ).read_bytes()


def test_ctrl_c_while_encoding_leaves_nothing(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.npy"
    options = ("encode", "-", "--out", out, "--model", "run/model")
    process = start(work, *options, stdin=subprocess.PIPE)
    wait_until(lambda: any(tmp_path.iterdir()))  # The temporary file: it waits for input now.
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"labse: error: interrupted\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_resource_error(work: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(
            work, "mine", "source.txt", "target.txt", "--model", "run/model", stdout=full
        )
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert b"No space left on device" in err
    assert b"Traceback" not in err


# ---- Mistakes ----

MODEL = ("--model", "run/model")
TRAIN = ("--vocab", "vocab", "--out", "refused")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("vocab", "source.txt", "--lang", "rusian", "--out", "x"), 2, "did you mean 'rus'"),
        (("vocab", "source.txt", "--out", "x"), 2, "give its language with --lang"),
        (("vocab", "nowhere.tsv", "--out", "x"), 3, "nowhere.tsv: no such file"),
        (("vocab", "empty.txt", "--lang", "de", "--out", "x"), 3, "empty.txt: empty"),
        (("vocab", "pairs.tsv", "--out", "tatoeba"), 2, "not a vocabulary folder"),
        (("vocab", "pairs.tsv"), 2, "Missing option '--out'"),
        (("vocab", "pairs.tsv", "--counts", "c", "--report", "r"), 2, "--report is for learning"),
        (("vocab", "pairs.tsv", "--out", "x", "--report", "x/r"), 2, "give a folder beside it"),
        (("train", "nowhere.toml", *TRAIN), 3, "nowhere.toml: no such file"),
        (("train", "pairs.tsv", *TRAIN), 2, "pairs.tsv: not valid TOML"),
        (("train", "config.toml", *TRAIN, "--set", "train.sed=1"), 2, "did you mean 'seed'"),
        (("train", "config.toml", *TRAIN, "--set", "train.lr=fast"), 2, "train.lr"),
        (("train", "config.toml", *TRAIN, "--set", "data.langs=de"), 2, "data.langs"),
        (("train", "config.toml", "--vocab", "run", "--out", "x"), 3, "run/tokenizer.json"),
        (("encode", "nowhere.txt", "--out", "x.npy", *MODEL), 3, "nowhere.txt: no such file"),
        (("encode", "source.txt", "--out", "x.npy", "--model", "vocab"), 3, "not a model folder"),
        (("encode", "source.txt", "--out", "empty.txt/x.npy", *MODEL), 4, "empty.txt"),
        (("encode", "source.txt", "--out", "x.npy", "--precision", "int4"), 2, "int4"),
        (("evaluate", "tatoeba", "nowhere", *MODEL), 3, "nowhere: no such folder"),
        (("evaluate", "tatoeba", "tatoeba", "--langs", "de", *MODEL), 2, "no set for 'de'"),
        (("mine", "source.txt", "empty.txt", *MODEL), 3, "empty.txt: empty"),
        (("mine", "source.txt", "source.txt", *MODEL), 2, "both source and target"),
        (("mine", "-", "-", *MODEL), 2, "both source and target"),
        (("mine", "source.txt", "nowhere.txt", *MODEL), 3, "nowhere.txt: no such file"),
        (("info", "nowhere"), 3, "nowhere: no such folder"),
        (("info", "tatoeba"), 3, "neither a model, a vocabulary, a run nor a checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_its_exit_code(
    work: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = run(work, *arguments)
    assert ran.returncode == code, ran.stderr.decode()
    assert ran.stdout == b""
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith("labse: error: ")
    assert message in line


def test_a_vocabulary_of_another_size_than_stated_is_refused_with_both_numbers(work: Path) -> None:
    ran = run(work, "train", "config.toml", *TRAIN, "--set", "model.bert.vocab_size=7")
    size = len((work / "vocab" / "vocab.txt").read_text("utf-8").splitlines())
    assert ran.returncode == 2
    assert f"vocab_size is 7, the vocabulary says {size}" in ran.stderr.decode()


def test_another_configuration_in_the_same_folder_is_refused_with_the_difference(
    work: Path,
) -> None:
    options = ("--vocab", "vocab", "--out", "run", "--set", "train.seed=4")
    ran = run(work, "train", "config.toml", *options)
    assert ran.returncode == 2
    assert "train.seed: 3 -> 4" in ran.stderr.decode()


def test_a_terminated_command_leaves_no_temporary_file(work: Path, tmp_path: Path) -> None:
    arguments = ("encode", "-", "--model", work / "run" / "model", "--out", "vectors.npy")
    process = start(tmp_path, *arguments, stdin=subprocess.PIPE)
    wait_until(lambda: os.listdir(tmp_path))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert os.listdir(tmp_path) == []


def test_a_file_name_that_is_no_unicode_is_printed_as_json(work: Path) -> None:
    name = os.fsdecode(b"na\xffme.npy")
    ran = labse_ok(work, "encode", "source.txt", "--model", "run/model", "--out", name, "--json")
    assert json.loads(ran.stdout)["path"] == name


# ---- Helpers ----


def cipher_sentences(number: int) -> list[str]:
    """Draws sentences of four words each; no two have the same four."""
    generator = np.random.default_rng(5)
    sentences: dict[frozenset[str], str] = {}
    while len(sentences) < number:
        words = generator.choice(WORDS, 4, replace=False).tolist()
        sentences.setdefault(frozenset(words), " ".join(words))
    return list(sentences.values())


def encipher(text: str) -> str:
    return " ".join(CIPHER[word] for word in reversed(text.split()))


def write_lines(path: Path, lines: Iterator[str] | list[str] | map) -> None:  # type: ignore[type-arg]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def line_of(path: Path, number: int) -> str:
    return path.read_text("utf-8").split("\n")[number - 1]


def start(
    folder: Path, *arguments: object, stdin: int = subprocess.DEVNULL, stdout: object = None
) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": str(Path(labse.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "labse.cli", *map(str, arguments)],
        cwd=folder,
        stdin=stdin,
        stdout=subprocess.PIPE if stdout is None else stdout,  # type: ignore[arg-type]
        stderr=subprocess.PIPE,
        env=environment,
    )


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=100)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def labse_ok(folder: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    ran = run(folder, *arguments)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
