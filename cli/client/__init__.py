"""What the command speaks to: a pipeline's functions, its bucket and its kept messages."""
