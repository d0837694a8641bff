"""Translations among unaligned sentences.

Takes: two embedded corpora, or sentences and an encoder. Gives: scored bitext, best first.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), margin-based mining.
"""
