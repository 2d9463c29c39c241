"""Adapters on the official emulators."""
