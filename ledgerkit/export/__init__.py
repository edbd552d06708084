"""Views for other tools, made from the ledgers alone and written outside of every repository."""
