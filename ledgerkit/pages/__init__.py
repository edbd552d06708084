"""The atlas: what the ledgers say, as a folder of pages that open from the disk."""
