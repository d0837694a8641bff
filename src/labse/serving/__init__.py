"""A server of sentence vectors: the HTTP interfaces of others, ours, and a page for people.

Takes: an encoder, and a folder of indexes if there is one. Gives: an ASGI application and its
server. Source: docs/serving.md; the interfaces of OpenAI and of text-embeddings-inference (TEI).
"""
