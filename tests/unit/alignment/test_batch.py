import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.alignment.batch import (
    AlignmentJob,
    AlignOptions,
    align_job,
    claim_options,
    is_done,
    pair_folders,
    pair_lists,
)
from labse.errors import LabseError, UsageError


class CharacterEncoder:
    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
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


def test_a_job_writes_its_alignment_and_counts_against_gold(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", s="a\nb\nc\n", t="a\nc\n", g="0 0\n1 1\n2 1\n3 2\n")
    job = AlignmentJob(folder / "s", folder / "t", folder / "g", tmp_path / "out.ladder")
    aligned = align_job(CharacterEncoder(), job, AlignOptions())
    assert aligned.num_beads == 3
    assert aligned.counts.strict.f1 == 1
    assert job.out
    assert job.out.read_bytes() == aligned.formatted.payload


def test_a_job_is_done_while_its_documents_do_not_change(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", s="a\n", t="a\n")
    job = AlignmentJob(folder / "s", folder / "t", None, tmp_path / "out")
    assert not is_done(job)
    assert not is_done(AlignmentJob(folder / "s", folder / "t", None, None))
    align_job(CharacterEncoder(), job, AlignOptions())
    assert is_done(job)
    assert job.out
    later = job.out.stat().st_mtime + 10
    os.utime(folder / "t", (later, later))
    assert not is_done(job)


def test_other_options_do_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim_options(out, AlignOptions(), "abc")
    claim_options(out, AlignOptions(), "abc")
    with pytest.raises(UsageError, match="begun with max_size 4, now it is 5"):
        claim_options(out, AlignOptions(max_size=5), "abc")
    with pytest.raises(UsageError, match="model_sha256"):
        claim_options(out, AlignOptions(), "def")
