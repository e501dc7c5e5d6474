"""Alembic revisions; `ingest migrate` and every start bring the schema up."""
