import asyncio
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.adapters import SentenceTransformerStep, TextEmbeddings
from labse.encoder.sentence_encoder import SentenceEncoder

TEXTS = ["free", "equal", "born free", "equal rights"]


def test_a_pipeline_of_scikit_learn_takes_it_as_a_step(
    encoder: SentenceEncoder, model_folder: Path
) -> None:
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(SentenceTransformerStep(model_folder), LogisticRegression(C=1e4))
    pipeline.fit(TEXTS, [0, 1, 0, 1])
    assert pipeline.predict(TEXTS).tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(pipeline[0].transform(TEXTS), encoder.encode(TEXTS))

    copied = clone(pipeline).set_params(sentencetransformerstep__precision="int8")
    assert copied[0].get_params() == {"model": model_folder, "precision": "int8"}
    assert copied.fit(TEXTS, [0, 1, 0, 1]).predict(["born free"]).tolist() == [0]


def test_a_step_loads_its_model_at_the_first_use(
    encoder: SentenceEncoder, model_folder: Path
) -> None:
    step = SentenceTransformerStep(model_folder)
    np.testing.assert_array_equal(step.transform(TEXTS), encoder.encode(TEXTS))
    np.testing.assert_array_equal(step.fit_transform(TEXTS), encoder.encode(TEXTS))
    with pytest.raises(ValueError, match="no parameter 'modle'"):
        step.set_params(modle="x")


def test_langchain_gets_lists_of_floats(encoder: SentenceEncoder) -> None:
    embeddings = TextEmbeddings(encoder)
    documents = embeddings.embed_documents(TEXTS)
    assert isinstance(documents[0][0], float)
    np.testing.assert_allclose(documents, encoder.encode(TEXTS), rtol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query("free"), documents[0], atol=1e-6)
    assert embeddings.embed_documents([]) == []


def test_coroutines_get_what_a_call_gets(encoder: SentenceEncoder) -> None:
    embeddings = TextEmbeddings(encoder)

    async def ask() -> list[list[list[float]]]:
        return await asyncio.gather(*(embeddings.aembed_documents(TEXTS) for _ in range(8)))

    expected = embeddings.embed_documents(TEXTS)
    assert asyncio.run(ask()) == [expected] * 8
    assert asyncio.run(embeddings.aembed_query("free")) == embeddings.embed_query("free")


def test_a_vector_store_of_langchain_finds_what_was_put_in(encoder: SentenceEncoder) -> None:
    vectorstores = pytest.importorskip("langchain_core.vectorstores")
    store = vectorstores.InMemoryVectorStore(TextEmbeddings(encoder))
    store.add_texts(TEXTS)
    (found,) = store.similarity_search("born free", k=1)
    assert found.page_content == "born free"
