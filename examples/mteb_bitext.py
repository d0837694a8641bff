"""A bitext task of mteb on a model of labse: pip install 'labse[mteb]'.

The sentences stand here, so that nothing is downloaded. A task of mteb's own is fetched from its
hub: `mteb.evaluate(model, mteb.get_tasks(["Tatoeba"], languages=["deu"]))`.
"""

from datasets import Dataset, DatasetDict
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.abstasks.text.bitext_mining import AbsTaskBitextMining

from labse import SentenceEncoder
from labse.evaluation.mteb_model import MtebModel

PAIRS = {
    "sentence1": ["Das ist ein Hund.", "Wo ist der Bahnhof?", "Es regnet seit drei Tagen."],
    "sentence2": ["That is a dog.", "Where is the station?", "It has been raining for days."],
}


class LocalBitext(AbsTaskBitextMining):
    """German sentences that ask for their English translations."""

    metadata = TaskMetadata(
        type="BitextMining",
        name="LocalBitext",
        description="three pairs",
        main_score="f1",
        reference=None,
        dataset={"path": "local", "revision": "1"},
        eval_langs=["deu-Latn", "eng-Latn"],
        eval_splits=["test"],
    )

    def load_data(self, **_: object) -> None:
        """Takes the pairs above."""
        self.dataset = DatasetDict({"test": Dataset.from_dict(PAIRS)})
        self.data_loaded = True


task = LocalBitext()
task.load_data()
model = MtebModel(SentenceEncoder.from_pretrained(), name="labse/default")
scores = task.evaluate(model, "test", encode_kwargs={"batch_size": 64})
print(f"accuracy {scores['default']['accuracy']:.2f}")
