"""Pixels: header facts, streaming decoders, colour, geometry. Arrays and streams, no repository.

Nothing here knows of plates, runs or records; every function takes an open binary file or an image.
"""
