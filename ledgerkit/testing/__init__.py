"""What ledgerkit ships for testing: generators of plates with known truth.

Nothing here is imported by the package itself.
"""
