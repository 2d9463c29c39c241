"""The formats, one module each; ``write`` is the writer."""
