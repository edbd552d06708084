"""Arrays in, labels and coordinates out: what `operations/cluster.py` is made of.

Pure functions on matrices whose rows are already in canonical order; no tables, no files.
"""
