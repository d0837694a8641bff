"""Index: texts with their vectors and metadata in a store that is searched.

Takes: sentences, their ids, languages and metadata. Gives: the nearest rows to a question.
Source: an existing engine keeps and searches the rows (docs/design.md, "Decisions").
"""
