"""The public door. Its only act is to keep a callback: no vendor key, no Redis, no task queue in this process."""
