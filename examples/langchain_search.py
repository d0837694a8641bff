"""Asks an English vector store in German: pip install labse langchain-core."""

from langchain_core.vectorstores import InMemoryVectorStore

from labse import SentenceEncoder
from labse.encoder.adapters import TextEmbeddings

store = InMemoryVectorStore(TextEmbeddings(SentenceEncoder.from_pretrained()))
store.add_texts(["The station is behind the church.", "The museum is closed on Monday."])

for document, score in store.similarity_search_with_score("Wo ist der Bahnhof?", k=1):
    print(f"{score:.2f}\t{document.page_content}")
