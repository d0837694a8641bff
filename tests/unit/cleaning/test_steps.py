from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labse.cleaning.bounds import PairBounds, TextBounds
from labse.cleaning.quality import BUCKET_BITS, QualityModel, save_quality_model
from labse.cleaning.steps import cut_step, decide_step, score_step
from labse.corpus.shards import write_shard


def test_a_pair_goes_through_all_steps_to_its_reason(tmp_path: Path, pairs_file: Path) -> None:
    folder = str(tmp_path / "shards")
    cut = cut_step(str(pairs_file), folder, origin="x", kind="pairs", lang=None, rows_per_shard=99)
    assert cut == {"num_shards": 1, "num_rows": 10}
    scored, kept, rejects = (str(tmp_path / f"{name}.parquet") for name in ("s", "k", "r"))
    shard = f"{folder}/part-00000.parquet"
    score_step(shard, scored, kind="pairs", identify=False, quality=None)
    bounds = PairBounds().model_dump(mode="json")
    told = decide_step(scored, kept, rejects, kind="pairs", bounds=bounds)
    assert told["num_rows"] == 10
    assert pq.read_table(kept).column("target_lang").to_pylist() == ["deu", "rus", "zho"]
    assert pq.read_table(kept).column_names == ["source_lang", "target_lang", "source", "target"]
    dropped = pq.read_table(rejects).to_pylist()
    assert [row["reason"] for row in dropped] == [
        "untranslated",
        "target: wrong script",
        "length ratio",
        "numbers disagree",
        "target: broken encoding",
        "target: too short",
        "target: repetition",
    ]
    assert dropped[0]["overlap"] == 1
    assert told["counts"]["eng-rus"] == {"kept": 1, "target: wrong script": 1}  # type: ignore[index]


def test_texts_of_the_unknown_language_get_the_one_that_is_identified(tmp_path: Path) -> None:
    pytest.importorskip("pycld2")
    texts = ["Die Kinder spielten gestern im Garten hinter dem Haus.", "zzz 123"]
    write_shard(tmp_path / "in.parquet", {"lang": ["und", "und"], "text": texts})
    out = str(tmp_path / "out.parquet")
    score_step(str(tmp_path / "in.parquet"), out, kind="mono", identify=True, quality=None)
    assert pq.read_table(out).column("lang").to_pylist() == ["deu", "und"]


def test_a_quality_model_adds_a_score_that_a_bound_can_use(tmp_path: Path) -> None:
    model = QualityModel(np.zeros(1 << BUCKET_BITS, np.float32), np.array([1.0, 0.0]))
    save_quality_model(tmp_path / "quality", model, {})
    shard, scored, kept = (str(tmp_path / f"{name}.parquet") for name in ("in", "s", "k"))
    write_shard(Path(shard), {"lang": ["eng"], "text": ["A sentence of clean prose."]})
    quality = str(tmp_path / "quality")
    score_step(shard, scored, kind="mono", identify=False, quality=quality)
    assert pq.read_table(scored).column("quality_prob").to_pylist() == [0.5]
    bounds = TextBounds(min_quality_prob=0.6).model_dump(mode="json")
    told = decide_step(scored, kept, None, kind="mono", bounds=bounds)
    assert told["counts"] == {"eng": {"low quality": 1}}
    assert pq.read_table(kept).num_rows == 0


def test_an_empty_shard_stays_empty(tmp_path: Path) -> None:
    shard, scored, kept = (str(tmp_path / f"{name}.parquet") for name in ("in", "s", "k"))
    write_shard(Path(shard), {"lang": [], "text": []})
    score_step(shard, scored, kind="mono", identify=False, quality=None)
    told = decide_step(scored, kept, None, kind="mono", bounds={})
    assert told == {"num_rows": 0, "counts": {}}
