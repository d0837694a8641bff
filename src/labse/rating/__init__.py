"""People's ratings of mined pairs, and the bound that they give.

Takes: mined pairs. Gives: a file of ratings; the `min_score` for a wanted precision.
Source: Feng et al., arXiv 2007.01852, section 3.1: 80 % of kept pairs are rated GOOD.
"""
