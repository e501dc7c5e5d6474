"""Nouns and rules of memories-ingest. Imports no door; importing it does nothing."""
