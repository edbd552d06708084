"""The cache: derived pixels that a re-run can make again; what there is, taking away, bringing back.

`folders` says what there is, `evict` takes whole folders away, `restore` makes them again. Both write
their outcome as an event of the collection that names the folders.
"""
