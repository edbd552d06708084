"""Learned models: one file a family, loaded from folders of pinned weights, arrays in and out.

`loading` says where a model runs and loads it; nothing here reads an image file, knows a repository
or uses the network.
"""
