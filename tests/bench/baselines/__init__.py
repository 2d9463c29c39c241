"""What the same work costs the conventional way."""
