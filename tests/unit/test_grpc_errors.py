"""Errors of gRPC calls: which are retried, until when, and as what they are raised."""

from __future__ import annotations

import asyncio
from itertools import repeat

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from transcripts.errors import Conflict, StoreUnavailable
from transcripts.google.channel import ChannelError, retry_transient, translate_errors

RETRIED = {"ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL"} | {
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "UNKNOWN",
}


def rpc_error(code: grpc.StatusCode, details: str = "injected") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details)


class Call:
    """Fails with each error in turn, then answers."""

    def __init__(self, *errors: AioRpcError) -> None:
        self.errors = list(errors)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answered"


@pytest.mark.parametrize("code", grpc.StatusCode)
async def test_retry_transient_repeats_the_statuses_that_google_repeats(
    code: grpc.StatusCode,
) -> None:
    """The publisher and the queue repeat these, and raise every other status at once."""
    call = Call(rpc_error(code), rpc_error(code))
    if code.name in RETRIED:
        assert await retry_transient(call, repeat(0.0)) == "answered"
        assert call.count == 3
    else:
        with pytest.raises(AioRpcError):
            await retry_transient(call, repeat(0.0))
        assert call.count == 1


async def test_retry_transient_without_pauses_left_raises_the_last_error() -> None:
    """Three pauses allow four attempts."""
    call = Call(*(rpc_error(grpc.StatusCode.UNAVAILABLE, str(n)) for n in range(9)))
    with pytest.raises(AioRpcError) as raised:
        await retry_transient(call, [0.0] * 3)
    assert (call.count, raised.value.details()) == (4, "3")


async def test_retry_transient_with_a_pause_beyond_the_deadline_raises_at_once() -> None:
    """The caller gets the error while it can still answer."""
    call = Call(rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED))
    deadline = asyncio.get_running_loop().time() + 10
    with pytest.raises(AioRpcError):
        await retry_transient(call, [11.0], deadline)
    assert call.count == 1


def test_translate_errors_by_status_hides_all_but_a_short_explanation() -> None:
    """A status in ``by_status`` has its own error; every other status is an outage."""
    by_status = {grpc.StatusCode.ABORTED: Conflict}
    for code, kind in ((grpc.StatusCode.ABORTED, Conflict), (grpc.StatusCode.OK, StoreUnavailable)):
        with (
            pytest.raises(kind) as raised,
            translate_errors("Firestore", StoreUnavailable, by_status),
        ):
            raise rpc_error(code, "x" * 300)
        assert raised.value.message == f"Firestore: {code.name}: {'x' * 200}."
    with pytest.raises(StoreUnavailable), translate_errors("Firestore", StoreUnavailable):
        raise ChannelError("not in time")
