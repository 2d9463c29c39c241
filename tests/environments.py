"""The environment of a function: what its settings need, with made-up values."""

from __future__ import annotations

from typing import Final

from transcripts.settings import EMBEDDED, FUNCTIONS

TOKEN: Final = "a-token-of-more-than-thirty-two-characters"

MADE_UP: Final = {
    "CALLBACK_TOKENS": TOKEN,
    "CALLBACK_TOPIC": "projects/p/topics/callbacks",
    "GOOGLE_CLOUD_PROJECT": "p",
    "MAVI_API_KEY": "sk-made-up",
    "REJECTED_TOPIC": "projects/p/topics/rejected",
    "SUBMIT_QUEUE": "projects/p/locations/l/queues/submissions",
    "SUBMIT_URL": "https://submit.example",
}
"""A value of every variable that has no default."""


def environment(function: str, **changes: str) -> dict[str, str]:
    """Return the required variables of a function, and some more of the named values."""
    variables = FUNCTIONS[function].variables()
    return {v.name: MADE_UP[v.name] for v in variables if v.default is None} | changes


def embedded(function: str, **changes: str) -> dict[str, str]:
    """Return the required variables of a function on the embedded backend."""
    variables = FUNCTIONS[function].variables()
    secrets = {v.name: MADE_UP[v.name] for v in variables if v.local is None}
    return {"TRANSCRIPTS_BACKEND": EMBEDDED} | secrets | changes
