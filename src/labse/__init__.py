"""LaBSE in one program: train sentence embeddings that find translations, and use them.

Takes: text and bitext. Gives: unit sentence vectors and the translations they find.
Source: Feng et al., "Language-agnostic BERT Sentence Embedding", arXiv 2007.01852.
"""

from importlib import import_module
from importlib.util import find_spec

__all__ = [
    "AlignOptions",
    "EmbeddingIndex",
    "EvaluationOptions",
    "FilterBounds",
    "IndexTasks",
    "LabseError",
    "MinedOutput",
    "MiningOptions",
    "PairBounds",
    "PreparedCorpus",
    "PretrainConfig",
    "RayExecutor",
    "RunConfig",
    "SearchOptions",
    "SentenceEncoder",
    "ServingOptions",
    "TextBounds",
    "TextOptions",
    "__version__",
    "align_files",
    "clean",
    "community_detection",
    "copy_index",
    "encode_files",
    "evaluate",
    "extract_files",
    "filter_pairs",
    "index_files",
    "learn_vocabulary",
    "load_run_config",
    "mine_bitext",
    "mine_files",
    "model_languages",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "pretrain",
    "score_pairs",
    "score_quality",
    "semantic_search",
    "serve",
    "train_cds",
    "train_dual_encoder",
    "web_align",
    "web_bitext",
    "web_mine",
    "web_pages",
    "web_pairs",
    "web_report",
    "web_run",
]

__version__ = "0.1.0"

_HOMES = {
    "AlignOptions": "labse.alignment.align_files",
    "EmbeddingIndex": "labse.index.embedding_index",
    "EvaluationOptions": "labse.evaluation.evaluate",
    "FilterBounds": "labse.cleaning.bounds",
    "IndexTasks": "labse.index.index_files",
    "LabseError": "labse.errors",
    "MinedOutput": "labse.mining.mined_output",
    "MiningOptions": "labse.mining.bitext",
    "PairBounds": "labse.cleaning.bounds",
    "PreparedCorpus": "labse.search.corpus",
    "PretrainConfig": "labse.pretraining.config",
    "RayExecutor": "labse.cluster.on_ray",
    "RunConfig": "labse.dual_encoder.config",
    "SearchOptions": "labse.mining.bitext",
    "SentenceEncoder": "labse.encoder.sentence_encoder",
    "ServingOptions": "labse.serving.options",
    "TextBounds": "labse.cleaning.bounds",
    "TextOptions": "labse.encoder.tokenization",
    "align_files": "labse.alignment.align_files",
    "clean": "labse.cleaning.pipeline",
    "community_detection": "labse.search.corpus",
    "copy_index": "labse.index.copy_index",
    "encode_files": "labse.encoder.job.encode_files",
    "evaluate": "labse.evaluation.evaluate",
    "extract_files": "labse.corpus.extract_files",
    "filter_pairs": "labse.mining.filter",
    "index_files": "labse.index.index_files",
    "learn_vocabulary": "labse.vocab.folder",
    "load_run_config": "labse.dual_encoder.start",
    "mine_bitext": "labse.mining.bitext",
    "mine_files": "labse.mining.mine_files",
    "model_languages": "labse.model_folder.languages",
    "paraphrase_mining": "labse.search.corpus",
    "paraphrase_mining_embeddings": "labse.search.corpus",
    "pretrain": "labse.pretraining.run",
    "score_pairs": "labse.mining.pair_scores",
    "score_quality": "labse.mining.quality",
    "semantic_search": "labse.search.corpus",
    "serve": "labse.serving.server",
    "train_cds": "labse.selection.train",
    "train_dual_encoder": "labse.encoder.trained",
    "web_align": "labse.web.beads",
    "web_bitext": "labse.web.bitext",
    "web_mine": "labse.web.mine",
    "web_pages": "labse.web.pages",
    "web_pairs": "labse.web.pairs",
    "web_report": "labse.web.report",
    "web_run": "labse.web.run",
}

_NEED_TORCH = ("pretrain", "train_dual_encoder")


def __getattr__(name: str) -> object:
    """Resolves a public name on first use (PEP 562), so that importing labse loads no library."""
    if name not in _HOMES:
        raise AttributeError(f"module 'labse' has no attribute {name!r}")
    if name in _NEED_TORCH and find_spec("torch") is None:
        return _ask_for_torch
    return getattr(import_module(_HOMES[name]), name)


def _ask_for_torch(*_: object, **__: object) -> None:
    """Stands for what needs torch where torch is missing.

    Raises:
        ResourceError: always; it says what to install.
    """
    import_module("labse.runtime").require("torch", "train")


def __dir__() -> list[str]:
    return sorted(__all__)
