"""Files: text in, whole files out, folders that are replaced, claimed and gone on with.

Takes: paths. Gives: lines; files and folders that are whole or absent; a run that resumes.
Source: docs/design.md, promises.
"""
