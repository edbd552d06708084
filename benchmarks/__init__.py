"""One module a claim, each run against its peer in the same run: `python -m benchmarks [NAME ...]`."""
