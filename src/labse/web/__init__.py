"""From web pages to bitext, with the addresses that each pair comes from.

Takes: captures of pages (WARC, WET, folders of HTML) and an encoder. Gives: page records, document
    pairs, sentence pairs, and a release of bitext with its card.
Source: Uszkoreit et al. 2010; Thompson and Koehn 2020 (EMNLP 483); El-Kishky et al. 2020
    (arXiv 1911.06154); docs/web.md.
"""
