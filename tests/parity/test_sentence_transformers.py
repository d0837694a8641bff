"""Folders and vectors against sentence-transformers, both ways, for every runtime."""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from tests.model_data import random_folder

from labse.encoder.sentence_encoder import SentenceEncoder
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

transformers = pytest.importorskip("transformers", reason="transformers is the oracle")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Its imports warn of what others deprecate.
    sentence_transformers = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is the oracle"
    )
    from sentence_transformers.sentence_transformer import modules

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

# Universal Declaration of Human Rights, article 1, in scripts of each kind of spacing.
SENTENCES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、生まれながらにして自由である。",
    "모든 인간은 태어날 때부터 자유로우며 평등하다.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "ყველა ადამიანი იბადება თავისუფალი და თანასწორი.",
    "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "",
    " \t ",
    "Free 🎉 and equal",  # The emoji is no piece: [UNK].
    "free",
    "equal in dignity and rights " * 30,  # Far over max_seq_length.
]
CONFIGS: dict[str, dict[str, object]] = {
    "cls-tanh": {"pooling": "cls", "projection": "tanh"},
    "mean-linear": {"pooling": "mean", "projection": "linear", "embedding_size": 24},
    "mean-none": {"pooling": "mean", "projection": "none"},
    "zero-layers-mean-linear": {
        "layers": 0, "pooling": "mean", "projection": "linear", "embedding_size": 24,
    },
    "zero-layers-mean-none": {"layers": 0, "pooling": "mean", "projection": "none"},
}  # fmt: skip
# Rounding of float32 (2^-24) over three layers stays far below. int8 keeps 7 bits of a weight and 8
# of a value, with or without VNNI: `make instruction-sets` runs these tests with lesser sets.
MIN_COSINE = {"float32": 0.99999, "int8": 0.99, "bfloat16": 0.99}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def vocab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Characters, and a few whole words so that pieces differ in length."""
    characters = sorted(set("".join(SENTENCES)) - {" ", "\t", "🎉"})
    pieces = [
        *characters,
        *(f"##{character}" for character in characters),
        "equal",
        "##ity",
        "人人",
    ]
    folder = tmp_path_factory.mktemp("vocab")
    save_vocabulary(folder, [*SPECIAL_TOKENS, *pieces])
    return folder


def build_model(vocab_folder: Path, *, layers: int = 3, **settings: object) -> ModelFolder:
    bert = {"hidden_size": 48, "num_hidden_layers": layers, "num_attention_heads": 4}
    bert |= {"intermediate_size": 96, "max_position_embeddings": 60}
    options = {"max_seq_length": 40} | settings
    # Pieces weigh more than what all sentences share, so that vectors differ.
    return random_folder(vocab_folder, bert, seed=5, scale=0.15, scales=(1.0, 0.05), **options)


def encode_with_oracle(folder: Path) -> np.ndarray:
    oracle = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    return oracle.encode(SENTENCES, batch_size=4, show_progress_bar=False)


def runtimes_of(layers: int) -> list[tuple[str, str]]:
    own = "ctranslate2" if layers else "numpy"
    return [(own, "float32"), (own, "int8"), ("torch", "float32"), ("torch", "bfloat16")]


def assert_same_vectors(folder: Path, expected: np.ndarray, layers: int) -> None:
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, atol=1e-5)
    tokenizer = read_model_folder(folder).tokenizer
    for runtime, precision in runtimes_of(layers):
        encoder = SentenceEncoder.from_pretrained(folder, runtime=runtime, precision=precision)
        similarities = encoder.encode(SENTENCES) @ expected.T
        cosines = similarities.diagonal()
        assert cosines.min() > MIN_COSINE[precision], (runtime, precision, cosines)
        # Vectors of random models are alike, so ask too that none is nearer to another sentence's.
        assert (cosines >= similarities.max(axis=1) - 1e-6).all(), (runtime, precision)
        assert encoder.num_truncated == sum(
            len(tokenizer.encode(sentence).ids) > encoder.max_seq_length for sentence in SENTENCES
        )


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_sentence_transformers_reads_our_folder_and_gives_our_vectors(
    tmp_path: Path, vocab_folder: Path, settings: dict[str, object]
) -> None:
    model = build_model(vocab_folder, **settings)
    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})

    expected = encode_with_oracle(tmp_path / "model")

    assert expected.shape == (len(SENTENCES), model.config.output_size)
    assert_same_vectors(tmp_path / "model", expected, model.config.bert.num_hidden_layers)


def test_transformers_gives_the_sentence_vector_as_pooler_output(
    tmp_path: Path, vocab_folder: Path
) -> None:
    model = build_model(vocab_folder)
    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    bert = transformers.BertModel.from_pretrained(tmp_path / "model").eval()

    inputs = tokenizer(SENTENCES, padding=True, truncation=True, max_length=40, return_tensors="pt")
    with torch.inference_mode():
        pooled = bert(**inputs).pooler_output.numpy()

    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert_same_vectors(tmp_path / "model", expected, layers=3)


@pytest.mark.parametrize("with_vocab_txt", [True, False])
def test_a_folder_of_labse_s_shape_made_by_sentence_transformers_gives_its_vectors(
    tmp_path: Path, vocab_folder: Path, with_vocab_txt: bool
) -> None:
    torch.manual_seed(2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(vocab_folder))
    bert = transformers.BertModel(  # With a pooler, as LaBSE has.
        transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=60,
            initializer_range=0.2,
        )
    )
    bert.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    transformer = modules.Transformer(str(tmp_path / "bert"), max_seq_length=40)
    labse = sentence_transformers.SentenceTransformer(
        modules=[
            transformer,
            modules.Pooling(48, pooling_mode="cls"),
            modules.Dense(48, 48, activation_function=torch.nn.Tanh()),
            modules.Normalize(),
        ],
        device="cpu",
    )
    labse.save(str(tmp_path / "labse"))
    if with_vocab_txt:
        (tmp_path / "labse/vocab.txt").write_bytes((vocab_folder / "vocab.txt").read_bytes())

    model = read_model_folder(tmp_path / "labse")

    assert model.config.pooling == "cls"
    assert model.config.projection == "tanh"
    assert model.config.max_seq_length == 40
    assert not [name for name in model.weights if name.startswith("pooler")]
    expected = labse.encode(SENTENCES, show_progress_bar=False)
    assert_same_vectors(tmp_path / "labse", expected, layers=2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_saved_by_transformers_are_read(
    tmp_path: Path, vocab_folder: Path, dtype: torch.dtype
) -> None:
    model = build_model(vocab_folder, projection="none")
    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})
    bert = transformers.BertModel.from_pretrained(tmp_path / "model").to(dtype)
    bert.save_pretrained(tmp_path / "model")
    (tmp_path / "model/manifest.json").unlink()  # The hashes are of the float32 file.

    again = read_model_folder(tmp_path / "model")

    for name, array in model.weights.items():
        expected = torch.from_numpy(array).to(dtype).float().numpy()
        np.testing.assert_array_equal(again.weights[name], expected)


def save_xlm_r(folder: Path, prompts: dict[str, str], default: str | None) -> None:
    """Makes a folder in the shape of multilingual-e5: a Unigram tokenizer, a table with more rows.

    The first four entries stand as in XLM-R: <s> <pad> </s> <unk>.
    """
    torch.manual_seed(3)
    characters = sorted(set("".join(SENTENCES)) - {" ", "\t", "🎉"})
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(character, -5.0) for character in characters]
    pieces += [("▁equal", -6.0), ("ity", -6.0), ("人人", -6.0), ("query", -6.0)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.NFKC(),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    model = transformers.XLMRobertaModel(
        transformers.XLMRobertaConfig(
            vocab_size=len(fast) + 35,  # As 250,037 rows for 250,002 entries.
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=52,
            type_vocab_size=1,
            pad_token_id=1,
            layer_norm_eps=1e-5,
            initializer_range=0.2,
        )
    )
    model.save_pretrained(folder / "bert")
    fast.save_pretrained(folder / "bert")
    built = sentence_transformers.SentenceTransformer(
        modules=[
            modules.Transformer(str(folder / "bert"), max_seq_length=40),
            modules.Pooling(48, pooling_mode="mean"),
            modules.Normalize(),
        ],
        device="cpu",
        prompts=prompts,
        default_prompt_name=default,
    )
    built.save(str(folder / "model"))


@pytest.mark.parametrize("default", [None, "query"])
def test_an_xlm_r_with_a_padded_table_and_prompts_gives_the_vectors_of_the_oracle(
    tmp_path: Path, default: str | None
) -> None:
    prompts = {"query": "query: ", "passage": "passage: "}
    save_xlm_r(tmp_path, prompts, default)
    folder = tmp_path / "model"
    oracle = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    texts = [sentence for sentence in SENTENCES if sentence.strip()]

    model = read_model_folder(folder)
    assert model.tokenizer.get_vocab_size() + 35 == model.config.bert.vocab_size
    assert (model.config.bert.max_position_embeddings, model.config.max_seq_length) == (50, 40)
    expected = oracle.encode(texts, show_progress_bar=False)
    for runtime in ("ctranslate2", "torch"):
        encoder = SentenceEncoder.from_pretrained(folder, runtime=runtime)
        np.testing.assert_allclose(encoder.encode(texts), expected, atol=2e-5)


def test_an_xlm_r_is_written_and_read_again(tmp_path: Path) -> None:
    save_xlm_r(tmp_path, {"query": "query: "}, "query")
    model = read_model_folder(tmp_path / "model")
    write_model_folder(tmp_path / "2", model, vocab_folder=tmp_path / "model", manifest={})

    again = read_model_folder(tmp_path / "2")
    assert (again.config, again.prompts) == (model.config, model.prompts)
    encoders = [SentenceEncoder.from_pretrained(tmp_path / name) for name in ("model", "2")]
    first, second = (encoder.encode(SENTENCES) for encoder in encoders)
    np.testing.assert_array_equal(first, second)


def test_every_keyword_of_encode_works_or_says_what_to_write(
    tmp_path: Path, vocab_folder: Path
) -> None:
    model = build_model(vocab_folder, layers=0)
    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})
    encoder = SentenceEncoder(tmp_path / "model")
    oracle = sentence_transformers.SentenceTransformer
    for call in ("encode", "encode_query", "encode_document"):
        for name, parameter in inspect.signature(getattr(oracle, call)).parameters.items():
            # Its default says that nothing is scaled beyond what the model does; ours always is.
            if name not in ("self", "inputs", "kwargs", "normalize_embeddings"):
                rows = getattr(encoder, call)(["free"], **{name: parameter.default})
                assert rows.shape == (1, 48), (call, name)


def test_tokens_and_saved_folders_are_those_of_the_oracle(
    tmp_path: Path, vocab_folder: Path
) -> None:
    model = build_model(vocab_folder, pooling="mean")
    write_model_folder(tmp_path / "model", model, vocab_folder=vocab_folder, manifest={})
    encoder = SentenceEncoder(tmp_path / "model")
    oracle = sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    encoder.max_seq_length = oracle.max_seq_length = 30
    ours, theirs = encoder.tokenize(SENTENCES), oracle.tokenize(SENTENCES)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name].numpy(), err_msg=name)
    # What either saves, the other loads, with the length that was set.
    encoder.save_pretrained(tmp_path / "ours")
    oracle.save_pretrained(str(tmp_path / "theirs"))
    expected = oracle.encode(SENTENCES, show_progress_bar=False)
    np.testing.assert_allclose(encode_with_oracle(tmp_path / "ours"), expected, atol=1e-5)
    loaded = SentenceEncoder(tmp_path / "theirs")
    assert loaded.max_seq_length == 30
    np.testing.assert_allclose(loaded.encode(SENTENCES), expected, atol=1e-5)
