"""Programs for an operator's machine: the `transcripts` command, the local stack, the fake Mavi."""
