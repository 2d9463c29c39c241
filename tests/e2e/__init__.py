"""The whole pipeline, every function as a process of its own."""
