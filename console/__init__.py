"""The private door: the operator's read API. Binds to loopback and wants a token."""
