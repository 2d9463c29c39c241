"""The trace of a request, and what it is given to."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from itertools import pairwise

import pytest

from transcripts import traces

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
CONTEXT = f"00-{TRACE}-{SPAN}-01"
CLOUD = "x-cloud-trace-context"


def begun(headers: Mapping[str, str], attributes: Mapping[str, str] | None = None) -> str:
    """Return the context of a request with these headers, then with this message."""

    def request() -> str:
        traces.begin(headers)
        traces.continue_from(attributes or {})
        return traces.traceparent()

    return copy_context().run(request)


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": CONTEXT},
        # A later version may say more, which is not ours to repeat.
        {"traceparent": f"42-{TRACE}-{SPAN}-01-more"},
        # Cloud Run's own header wins; its span is decimal.
        {CLOUD: f"{TRACE}/{int(SPAN, 16)};o=1", "traceparent": f"00-{SPAN}{SPAN}-{SPAN}-00"},
        {CLOUD: f"{TRACE}/0;o=1", "traceparent": CONTEXT},
    ],
)
def test_begin_takes_the_trace_of_the_request(headers: dict[str, str]) -> None:
    """Cloud Run gives every request its headers."""
    assert begun(headers) == CONTEXT


def test_begin_without_a_sampling_choice_is_not_sampled() -> None:
    """Cloud Run decides about its own spans."""
    assert begun({CLOUD: f"{TRACE}/{int(SPAN, 16)}"}) == f"00-{TRACE}-{SPAN}-00"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": ""},
        {"traceparent": "00-ADA-1-01"},
        {"traceparent": CONTEXT.upper()},
        {"traceparent": CONTEXT + "x"},
        {"traceparent": f"ff-{TRACE}-{SPAN}-01"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": "0" * 5000},
        {CLOUD: f"{TRACE}/x"},
        {CLOUD: f"{TRACE}/{2**64}"},
        {CLOUD: f"{'0' * 32}/1"},
    ],
)
def test_begin_without_a_usable_trace_starts_one_for_each_request(headers: dict[str, str]) -> None:
    """The caller chooses the header, and nothing but a trace is ever copied from it."""
    made = [begun(headers) for _ in range(3)]
    assert all(each != other for each, other in pairwise(made))
    for each in made:
        assert begun({"traceparent": each}) == each
        assert TRACE not in each


def test_continue_from_a_message_takes_its_trace() -> None:
    """The lines of subscriber stand with those of the callback that they are about."""
    assert begun({}, {traces.TRACEPARENT: CONTEXT}) == CONTEXT


@pytest.mark.parametrize("attributes", [{}, {traces.TRACEPARENT: "Ada"}])
def test_continue_from_a_message_without_a_trace_keeps_that_of_the_request(
    attributes: dict[str, str],
) -> None:
    """A message made by hand has none."""
    own = f"00-{SPAN}{SPAN}-{SPAN}-00"
    assert begun({"traceparent": own}, attributes) == own


def test_with_trace_adds_it_in_a_request_only() -> None:
    """A message that a command publishes again keeps its trace."""

    def request() -> dict[str, str]:
        traces.begin({"traceparent": CONTEXT})
        return traces.with_trace(kept)

    kept = {"task_id": "t", traces.TRACEPARENT: "that of the callback"}
    assert copy_context().run(traces.with_trace, kept) == kept
    assert copy_context().run(request) == {"task_id": "t", traces.TRACEPARENT: CONTEXT}
    assert kept == {"task_id": "t", traces.TRACEPARENT: "that of the callback"}
