"""Pre-training: masked language modelling on text and on translations, in growing depth.

Takes: files of text and of pairs, a vocabulary. Gives: a BERT folder to start from.
Source: Feng et al., arXiv 2007.01852, section 4; Conneau and Lample 2019 (TLM); Gong et al. 2019.
"""
