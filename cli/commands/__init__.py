"""The commands of `transcripts`, a module a group; each is imported when it runs."""
