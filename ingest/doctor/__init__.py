"""``ingest doctor``: everything that a first start trips over, and what keeps a running service from its work."""
