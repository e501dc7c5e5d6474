"""What a user may name as a source, and what it turns out to be. Pure but for the file system; no network."""
