"""Why a command stops.

::

    Refused        something is missing or wrong; nothing was changed
    StepFailed     a program failed on the way; its output was shown
"""

from __future__ import annotations


class Refused(Exception):
    """Something is missing or wrong; the message says what to do. Nothing was changed."""


class StepFailed(Exception):
    """A program failed on the way and its output was shown; the message says how to continue."""
