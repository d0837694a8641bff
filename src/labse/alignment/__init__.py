"""Sentence alignment: which lines of a document translate which lines of another.

Takes: documents and an encoder. Gives: beads, m lines to n.
Source: Thompson and Koehn 2019 (Vecalign), EMNLP-IJCNLP.
"""
