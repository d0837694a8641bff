import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.alignment.align_files import AlignOptions, align_files
from labse.alignment.batch import AlignmentJob, pair_folders, pair_lists
from labse.errors import LabseError, ResourceError, UsageError


class CharacterEncoder:
    num_calls = 0

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        self.num_calls += 1
        return np.array(
            [[1, *(sentence.count(letter) for letter in "abcdef")] for sentence in sentences],
            np.float32,
        )


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_folders_go_together_by_name_without_suffix(tmp_path: Path) -> None:
    source = write(tmp_path / "de", b_de="", a_de_gz="", manifest_json="{}")
    target = write(tmp_path / "en", a_en="", b_txt="")
    jobs = pair_folders(source, target, None, tmp_path / "out", "tsv")
    assert jobs == [
        AlignmentJob(source / "a.de.gz", target / "a.en", None, tmp_path / "out/a.tsv"),
        AlignmentJob(source / "b.de", target / "b.txt", None, tmp_path / "out/b.tsv"),
    ]


def test_a_file_without_counterpart_is_told(tmp_path: Path) -> None:
    source, target = write(tmp_path / "de", a_de="", b_de=""), write(tmp_path / "en", a_en="")
    with pytest.raises(LabseError, match=r"en: no counterpart of .*b\.de \(1 such"):
        pair_folders(source, target, None, None, "tsv")
    with pytest.raises(LabseError, match="holds no file"):
        pair_folders(source, write(tmp_path / "none"), None, None, "tsv")
    with pytest.raises(UsageError, match="one name without suffix"):
        pair_folders(write(tmp_path / "two", a_de="", a_en=""), target, None, None, "tsv")
    with pytest.raises(UsageError, match="not a folder"):
        pair_folders(source, target / "a.en", None, None, "tsv")


def test_lists_go_together_by_line_and_names_start_at_their_folder(tmp_path: Path) -> None:
    lists = write(tmp_path / "lists", de="x/one.de\n/y/two.de.gz\n", en="one.en\ntwo.en\n")
    jobs = pair_lists(lists / "de", lists / "en", None, tmp_path, "ladder")
    assert [job.source for job in jobs] == [lists / "x/one.de", Path("/y/two.de.gz")]
    assert [job.out and job.out.name for job in jobs] == ["000001-one.ladder", "000002-two.ladder"]


def test_lists_of_different_lengths_and_blank_lines_are_told(tmp_path: Path) -> None:
    lists = write(tmp_path / "lists", one="a\n", two="a\nb\n", blank="a\n\n", none="")
    with pytest.raises(LabseError, match=r"names 1 documents and .* 2"):
        pair_lists(lists / "one", lists / "two", None, None, "tsv")
    with pytest.raises(LabseError, match="blank, line 2: blank"):
        pair_lists(lists / "blank", lists / "two", None, None, "tsv")
    with pytest.raises(LabseError, match="none: empty"):
        pair_lists(lists / "none", lists / "none", None, None, "tsv")


def test_one_pair_of_documents_is_written_and_counted_against_gold(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", s="a\nb\nc\n", t="a\nc\n", g="0 0\n1 1\n2 1\n3 2\n")
    done: list[tuple[int, int | None]] = []
    aligned = align_files(
        folder / "s",
        folder / "t",
        tmp_path / "out.tsv",
        gold=folder / "g",
        encoder=CharacterEncoder(),
        on_progress=lambda *numbers: done.append(numbers),
    )
    assert (aligned.num_documents, aligned.num_beads, aligned.bead_format) == (1, 3, "tsv")
    assert aligned.counts.strict.f1 == 1
    assert (tmp_path / "out.tsv").read_text().splitlines()[2].split("\t")[1:] == ["b", ""]
    assert done == [(9, 9)]  # Spans of up to three lines: 3 + 2 + 1, and 2 + 1.


def test_only_documents_that_are_new_or_have_changed_are_aligned_again(tmp_path: Path) -> None:
    source = write(tmp_path / "de", a_de="a\nb\n", b_de="c\n")
    target, out = write(tmp_path / "en", a_en="a\nb\n", b_en="c\n"), tmp_path / "out"
    encoder = CharacterEncoder()
    done: list[tuple[int, int | None]] = []
    align_files(source, target, out, encoder=encoder, on_progress=lambda *n: done.append(n))
    assert done == [(0, 2), (1, 2), (2, 2)]
    made = (out / "b.tsv").read_bytes()
    (out / "b.tsv").unlink()
    again = align_files(source, target, out, encoder=encoder)
    assert (again.num_done_before, (out / "b.tsv").read_bytes()) == (1, made)
    (target / "a.en").write_text("a\n")
    again = align_files(source, target, out, encoder=encoder)
    assert (again.num_done_before, again.num_documents, encoder.num_calls) == (1, 2, 4)
    assert (out / "a.tsv").read_text().splitlines()[-1] == "0.0000\tb\t"


def test_other_options_or_another_model_do_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    class Hashed(CharacterEncoder):
        def hash_model(self) -> str:
            return "abc"

    source, out = write(tmp_path / "de", a_de="a\n"), tmp_path / "out"
    align_files(source, source, out, encoder=CharacterEncoder())
    with pytest.raises(UsageError, match=r"max_size \(4, now 5\)"):
        align_files(
            source, source, out, encoder=CharacterEncoder(), options=AlignOptions(max_size=5)
        )
    with pytest.raises(UsageError, match="begun with another model"):
        align_files(source, source, out, encoder=lambda: Hashed())


def test_a_broken_document_does_not_stop_the_folder(tmp_path: Path) -> None:
    source = write(tmp_path / "de", a_de="a\n", b_de="b\n")
    target, out = write(tmp_path / "en", a_en="a\n", b_en="b\n"), tmp_path / "out"
    (source / "a.de").write_bytes(b"\xff\n")
    with pytest.raises(
        LabseError, match=r"1 of 2 pairs .* the others are done; the first: .*a\.de"
    ):
        align_files(source, target, out, encoder=CharacterEncoder())
    assert (out / "b.tsv").exists()
    (source / "a.de").write_text("a\n")
    aligned = align_files(source, target, out, encoder=CharacterEncoder())
    assert (aligned.num_done_before, (out / "a.tsv").exists()) == (1, True)


def test_a_full_disk_ends_the_folder_at_its_first_document(tmp_path: Path) -> None:
    long = "".join(f"{'a' * (n % 7 + 1)}\n" for n in range(900))
    source, out = write(tmp_path / "de", a_de=long, b_de=long), tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"out/a\.tsv: cannot be written: File too large"):
            align_files(source, source, out, encoder=CharacterEncoder())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert align_files(source, source, out, encoder=CharacterEncoder()).num_done_before == 0


def test_beads_below_the_least_score_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", s="a\nb\nc\n", t="a\nc\n")
    files, options = (folder / "s", folder / "t"), AlignOptions(min_score=0.5)
    out = tmp_path / "out.tsv"
    aligned = align_files(*files, out, encoder=CharacterEncoder(), options=options)
    assert [line.split("\t")[1:] for line in out.read_text().splitlines()[1:]] == [
        ["a", "a"],
        ["c", "c"],
    ]
    assert (aligned.num_beads, aligned.num_below) == (3, 1)
    with pytest.raises(UsageError, match="a ladder cannot"):
        align_files(*files, tmp_path / "o.ladder", encoder=CharacterEncoder(), options=options)


def test_unrelated_documents_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "f", s="ab\ncd\nef\n", t="kl\nmn\nop\n", u="ab\ncd\nef\n")
    align_files(folder / "s", folder / "t", tmp_path / "o.tsv", encoder=CharacterEncoder())
    assert "look unrelated: the mean score" in caplog.text
    caplog.clear()
    align_files(folder / "s", folder / "u", tmp_path / "o.tsv", encoder=CharacterEncoder())
    assert caplog.text == ""
