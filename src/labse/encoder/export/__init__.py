"""A model written anew: narrower, smaller, or for another runtime.

Takes: a model folder. Gives: another one, checked for what it loses.
Source: docs/export.md.
"""
