"""Asks an English index in German: pip install labse llama-index-core."""

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from pydantic import PrivateAttr

from labse import SentenceEncoder


class LabseEmbedding(BaseEmbedding):
    """Vectors of labse under the method names of LlamaIndex."""

    _encoder: SentenceEncoder = PrivateAttr(default_factory=SentenceEncoder.from_pretrained)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._encoder.encode(query).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._encoder.encode(text).tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


texts = ["The station is behind the church.", "The museum is closed on Monday."]
index = VectorStoreIndex.from_documents(
    [Document(text=text) for text in texts], embed_model=LabseEmbedding(model_name="labse")
)
for hit in index.as_retriever(similarity_top_k=1).retrieve("Wo ist der Bahnhof?"):
    print(f"{hit.score:.2f}\t{hit.text}")
