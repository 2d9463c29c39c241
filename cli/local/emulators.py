"""Google's official emulators of Pub/Sub and Firestore, and the pipeline's topics on them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.local.processes import ChildProcess, ProcessFailed, free_port
from cli.local.topics import PROJECT, Subscription

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherClient, SubscriberClient

MISSING: Final = """\
The official emulators are not installed. Install
  1. Java 17 or newer,
  2. the Google Cloud CLI: https://cloud.google.com/sdk/docs/install
  3. its emulators:  gcloud components install beta pubsub-emulator cloud-firestore-emulator
     (from Debian packages: google-cloud-cli-pubsub-emulator google-cloud-cli-firestore-emulator)
and try again; or leave BACKEND out, which needs none of it."""

READY_TIMEOUT_S: Final = 30.0
_COMMANDS: Final = {
    "pubsub": ("beta", "emulators", "pubsub", "start"),
    "firestore": ("emulators", "firestore", "start"),
}


class EmulatorsMissing(Exception):
    """gcloud or Java is not installed; the message says what to install."""


def emulators_installed() -> bool:
    """Tell whether the emulators can be started here."""
    return shutil.which("gcloud") is not None and shutil.which("java") is not None


@dataclass(frozen=True)
class Emulator:
    """A running emulator and the variable through which clients find it."""

    process: ChildProcess
    variable: str

    @property
    def host(self) -> str:
        """Its ``host:port``."""
        return f"127.0.0.1:{self.process.port}"


async def start_emulators(folder: Path, names: Sequence[str] = tuple(_COMMANDS)) -> list[Emulator]:
    """Start the emulators side by side; raises ``EmulatorsMissing``."""
    if not emulators_installed():
        raise EmulatorsMissing(MISSING)
    emulators = []
    environ = dict(os.environ) | {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    for name in names:
        port = free_port()
        command = ["gcloud", "--quiet", *_COMMANDS[name], f"--host-port=127.0.0.1:{port}"]
        if name == "pubsub":
            (folder / name).mkdir(parents=True, exist_ok=True)
            command += [f"--project={PROJECT}", f"--data-dir={folder / name}"]
        process = ChildProcess(
            f"{name} emulator", command, port, log_file=folder / f"{name}.log", environ=environ
        )
        emulators.append(Emulator(process, f"{name.upper()}_EMULATOR_HOST"))
    results = await asyncio.gather(
        *(emulator.process.start() for emulator in emulators), return_exceptions=True
    )
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        await stop_emulators(emulators)
        if isinstance(failures[0], ProcessFailed):
            raise EmulatorsMissing(f"{failures[0]}\n{MISSING}") from failures[0]
        raise failures[0]
    return emulators


async def stop_emulators(emulators: Sequence[Emulator]) -> None:
    """Stop them side by side."""
    await asyncio.gather(*(emulator.process.stop() for emulator in emulators))


def pubsub_clients(host: str) -> tuple[PublisherClient, SubscriberClient]:
    """Return Google's clients for the Pub/Sub emulator at ``host``, once it answers."""
    import grpc
    from google.pubsub_v1 import PublisherClient, SubscriberClient
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    channel = grpc.insecure_channel(host)
    grpc.channel_ready_future(channel).result(timeout=READY_TIMEOUT_S)
    return (
        PublisherClient(transport=PublisherGrpcTransport(channel=channel)),
        SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)),
    )


def subscription_path(name: str) -> str:
    """Return the full name of a subscription on this machine."""
    return f"projects/{PROJECT}/subscriptions/{name}"


def make_subscriptions(host: str, subscriptions: Sequence[Subscription]) -> None:
    """Make subscriptions and their topics on the Pub/Sub emulator, as ``infra`` does in the cloud.

    They get no retry policy: with one, the emulator stops redelivering when many messages fail
    together.
    """
    publisher, subscriber = pubsub_clients(host)
    with publisher:
        dead = {each.dead_letter_topic for each in subscriptions if each.dead_letter_topic}
        for topic in sorted({each.topic for each in subscriptions} | dead):
            publisher.create_topic(name=topic)
        for each in subscriptions:
            request: dict[str, Any] = {
                "name": subscription_path(each.name),
                "topic": each.topic,
                "ack_deadline_seconds": each.acknowledge_within_s,
            }
            if each.endpoint is not None:
                request["push_config"] = {"push_endpoint": each.endpoint}
            if each.dead_letter_topic is not None:
                request["dead_letter_policy"] = {
                    "dead_letter_topic": each.dead_letter_topic,
                    "max_delivery_attempts": each.max_attempts,
                }
            subscriber.create_subscription(request=request)
