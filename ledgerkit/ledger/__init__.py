"""Manifests and run records to Parquet ledgers: views that anybody can delete and rebuild."""
