"""One user's path: the commands of docs/path.md, from two files to a tuned model."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.system.conftest import ROOT, run

from labse.corpus.pair_files import iter_pairs

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_two_files_become_a_tuned_model_and_a_translation_memory(tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    blocks = BLOCK.findall((ROOT / "docs/path.md").read_text("utf-8"))
    script = "".join(code for language, code in blocks if language == "bash")
    ran = run(["bash", "-euo", "pipefail", "-c", script], tmp_path)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-2000:]
    program = "".join(code for language, code in blocks if language == "python")
    ran = run([sys.executable, "-W", "error", "-c", program], tmp_path)
    assert ran.returncode == 0, ran.stderr[-2000:]

    # The bound was found and applied: nearly all that is left is right.
    out, hidden = tmp_path / "runs/path", ROOT / "recipes/tiny/data/hidden.tsv"
    bound = json.loads((out / "calibration.json").read_text())["min_score"]
    scores = [float(line.split("\t")[2]) for line in lines_of(out / "good.tsv")[1:]]
    assert min(scores) >= bound > 1.1
    options = {"source_lang": None, "target_lang": None, "drops": Counter[str](), "tell": print}
    pairs = list(iter_pairs([str(out / "pairs.tmx")], **options))  # type: ignore[arg-type]
    right = sum(f"{pair.source}\t{pair.target}" in lines_of(hidden) for pair in pairs)
    assert right >= 130
    assert right / len(pairs) >= 0.85

    # The languages given at the start have come to the end, and no row was lost on the way.
    assert {(pair.source_lang, pair.target_lang) for pair in pairs} == {("deu", "eng")}
    cleaned = json.loads((out / "clean/manifest.json").read_text())["counts"]["good"]["deu-eng"]
    assert sum(cleaned.values()) == len(scores)
    assert cleaned["kept"] == len(pairs)
    manifest = json.loads((out / "tuned/model/manifest.json").read_text())
    assert sum(file["num_rows"] for file in manifest["inputs"]) == len(pairs)


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()
