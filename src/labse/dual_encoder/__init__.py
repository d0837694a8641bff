"""The dual encoder: its model, its training, and the folder that holds a trained one.

Takes: tokenised pairs of translations, or a model folder. Gives: unit sentence vectors, (B, D).
Source: Feng et al., arXiv 2007.01852, section 2; sentence-transformers' folder layout.
"""
