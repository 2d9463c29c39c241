"""Why nothing is deployed.

::

    Refused        something is missing or wrong; nothing was changed
    StepFailed     a program failed on the way; its own words were shown
"""

from __future__ import annotations


class Refused(Exception):
    """Something is missing or wrong; the message says what to do. Nothing was changed."""


class StepFailed(Exception):
    """A program failed on the way, in its own words; the message says how to go on."""
