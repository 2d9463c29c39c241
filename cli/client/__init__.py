"""Clients of a pipeline: of its functions, its bucket and its kept messages."""
