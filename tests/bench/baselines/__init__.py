"""The same work done the conventional way, to compare the cost with."""
