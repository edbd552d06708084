"""Sweeps: many settings tried over one set of vectors, compared, and judged by people."""
