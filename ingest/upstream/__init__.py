"""Memories.ai over HTTP. The vendor's field names live in ``fields`` and nowhere else."""
