"""No input or output: pure functions, and objects with fakes behind their ports."""
