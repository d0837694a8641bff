"""Whether a model and a machine compute what they should.

Takes: an encoder. Gives: golden vectors, findings about the machine.
Source: docs/design.md, promises.
"""
