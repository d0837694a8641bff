"""Learns topics in English and tells them in German: pip install labse scikit-learn."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from labse.encoder.adapters import SentenceTransformerStep

sentences = [
    "The train is late again.",
    "Where can I buy a ticket to Berlin?",
    "The bus stops at the market.",
    "Our flight leaves at noon.",
    "The soup needs more salt.",
    "I would like bread and cheese.",
    "She cooks rice with vegetables.",
    "Is there sugar in this cake?",
]
topics = ["travel"] * 4 + ["food"] * 4

pipeline = make_pipeline(SentenceTransformerStep(), LogisticRegression())
pipeline.fit(sentences, topics)

german = ["Der Zug hat Verspätung.", "Ich möchte Brot und Butter."]
for sentence, topic in zip(german, pipeline.predict(german), strict=True):
    print(f"{topic}\t{sentence}")
