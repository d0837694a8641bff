"""The public names with their types; `__init__.py` imports each at its first use."""

from labse.alignment.align_files import AlignOptions as AlignOptions
from labse.alignment.align_files import align_files as align_files
from labse.cleaning.bounds import FilterBounds as FilterBounds
from labse.cleaning.bounds import PairBounds as PairBounds
from labse.cleaning.bounds import TextBounds as TextBounds
from labse.cleaning.pipeline import clean as clean
from labse.cluster.on_ray import RayExecutor as RayExecutor
from labse.dual_encoder.config import RunConfig as RunConfig
from labse.dual_encoder.start import load_run_config as load_run_config
from labse.encoder.job.encode_files import encode_files as encode_files
from labse.encoder.sentence_encoder import SentenceEncoder as SentenceEncoder
from labse.encoder.tokenization import TextOptions as TextOptions
from labse.encoder.trained import train_dual_encoder as train_dual_encoder
from labse.errors import LabseError as LabseError
from labse.evaluation.evaluate import EvaluationOptions as EvaluationOptions
from labse.evaluation.evaluate import evaluate as evaluate
from labse.index.copy_index import copy_index as copy_index
from labse.index.embedding_index import EmbeddingIndex as EmbeddingIndex
from labse.index.index_files import index_files as index_files
from labse.mining.bitext import MiningOptions as MiningOptions
from labse.mining.bitext import SearchOptions as SearchOptions
from labse.mining.bitext import mine_bitext as mine_bitext
from labse.mining.filter import filter_pairs as filter_pairs
from labse.mining.mine_files import mine_files as mine_files
from labse.mining.mined_output import MinedOutput as MinedOutput
from labse.mining.pair_scores import score_pairs as score_pairs
from labse.mining.quality import score_quality as score_quality
from labse.model_folder.languages import model_languages as model_languages
from labse.pretraining.config import PretrainConfig as PretrainConfig
from labse.pretraining.run import pretrain as pretrain
from labse.search.corpus import PreparedCorpus as PreparedCorpus
from labse.search.corpus import community_detection as community_detection
from labse.search.corpus import paraphrase_mining as paraphrase_mining
from labse.search.corpus import paraphrase_mining_embeddings as paraphrase_mining_embeddings
from labse.search.corpus import semantic_search as semantic_search
from labse.selection.train import train_cds as train_cds
from labse.serving.options import ServingOptions as ServingOptions
from labse.serving.server import serve as serve
from labse.vocab.folder import learn_vocabulary as learn_vocabulary
from labse.web.beads import web_align as web_align
from labse.web.bitext import web_bitext as web_bitext
from labse.web.pages import web_pages as web_pages
from labse.web.pairs import web_pairs as web_pairs
from labse.web.run import web_run as web_run

__version__: str
