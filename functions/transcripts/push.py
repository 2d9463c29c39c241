"""The body of a Pub/Sub push request, which is also the body of an Eventarc CloudEvent.

https://cloud.google.com/pubsub/docs/push#receive_push
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from transcripts.errors import PoisonMessage


class PushedMessage(msgspec.Struct, frozen=True, rename="camel"):
    """A message as pushed; ``data`` is decoded from base64, times are UTC."""

    data: bytes = b""
    attributes: dict[str, str] = {}
    message_id: str = ""
    publish_time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Push(msgspec.Struct, frozen=True, rename="camel"):
    """One delivery. ``attempt`` counts from 1 where the subscription has dead letters."""

    message: PushedMessage
    subscription: str = ""
    attempt: int | None = msgspec.field(default=None, name="deliveryAttempt")


_decode = msgspec.json.Decoder(Push).decode


def read_push(body: bytes) -> Push:
    """Read a push request's body; raises ``PoisonMessage`` if it is anything else."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PoisonMessage("The request is no Pub/Sub push.") from error
