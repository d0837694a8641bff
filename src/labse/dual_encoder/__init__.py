"""Training of the dual encoder: translation ranking.

Takes: pairs of translations, a vocabulary or a trained model. Gives: a model folder.
Source: Feng et al., arXiv 2007.01852, section 2.
"""
