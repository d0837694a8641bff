"""Our encoder inside mteb's own bitext task gives the accuracy that we compute ourselves."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.evaluation.datasets import TatoebaSet
from labse.evaluation.mteb_model import MtebModel
from labse.evaluation.tatoeba import evaluate_tatoeba

pytest.importorskip("mteb", reason="mteb is the oracle")
pytestmark = pytest.mark.filterwarnings("default")  # mteb and its packages warn.

NUM_PAIRS = 300


class NoisyEncoder:
    """Sentence `de:7` is a random vector of 7, with the noise of its language."""

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        rows = []
        for sentence in sentences:
            lang, number = sentence.split(":")
            meaning = np.random.default_rng(int(number)).standard_normal(8)
            noise = np.random.default_rng((ord(lang[0]), int(number))).standard_normal(8)
            rows.append(meaning + 0.5 * noise)
        return np.array(rows, np.float32)


def build_task(columns: dict[str, list[str]]) -> object:
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining

    class LocalBitext(AbsTaskBitextMining):
        metadata = TaskMetadata(
            type="BitextMining",
            name="LocalBitext",
            description="local pairs",
            main_score="f1",
            reference=None,
            dataset={"path": "local", "revision": "1"},
            eval_langs=["deu-Latn", "eng-Latn"],
            eval_splits=["test"],
        )

        def load_data(self, **_: object) -> None:
            self.dataset = DatasetDict({"test": Dataset.from_dict(columns)})
            self.data_loaded = True

    task = LocalBitext()
    task.load_data()
    return task


def test_mtebs_accuracy_is_our_p_at_1_to_english() -> None:
    source = tuple(f"de:{n}" for n in range(NUM_PAIRS))
    english = tuple(f"en:{n}" for n in range(NUM_PAIRS))
    encoder = NoisyEncoder()
    task = build_task({"sentence1": list(source), "sentence2": list(english)})
    model = MtebModel(encoder, name="labse/noisy")
    scores = task.evaluate(  # type: ignore[attr-defined]
        model, "test", encode_kwargs={"batch_size": 64}
    )
    ours = evaluate_tatoeba(encoder, [TatoebaSet("deu", source, english)])
    assert 0.1 < ours.langs[0].p_at_1_to_english < 0.9
    assert scores["default"]["accuracy"] == pytest.approx(ours.langs[0].p_at_1_to_english)
    assert model.mteb_model_meta.name == "labse/noisy"  # type: ignore[attr-defined]
