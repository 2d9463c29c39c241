"""The settings of each function, read once from the environment into a frozen object.

Every variable is declared once, as a field of the classes below; the table in
``docs/reference.md#settings`` is made from them. ``load`` reports every missing or bad variable in
ONE error, without its value, since a value may be a secret pasted into the wrong place.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from transcripts.errors import SettingsError

GOOGLE: Final = "google"
EMBEDDED: Final = "embedded"

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32,}")
_TOPIC: Final = re.compile(r"projects/[^/]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_QUEUE: Final = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}")
_ACCOUNT: Final = re.compile(r"[^@\s]+@[^@\s]+")
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,100}")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?")
MAX_RETENTION_DAYS: Final = 36_500
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_DATABASE: Final = re.compile(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]")


class Secret:
    """A value that shows in no repr, no format and no traceback; ``reveal`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself: only where it is sent or compared."""
        return self._value

    def __repr__(self) -> str:
        """Hide the value."""
        return "Secret(***)"


@dataclass(frozen=True)
class Variable:
    """One environment variable: how it is read and what it means.

    ``default`` holds for the google backend, ``local`` for the embedded one; ``None`` means that
    the variable must be given there.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None
    local: str | None
    meaning: str


def _variable(
    name: str,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    default: str | None = None,
    local: str | None = None,
) -> Any:
    variable = Variable(name, parse, default, local if local is not None else default, meaning)
    return dataclasses.field(metadata={"variable": variable})


def _backend(text: str) -> str:
    if text not in (GOOGLE, EMBEDDED):
        raise ValueError(f"must be {GOOGLE} or {EMBEDDED}")
    return text


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def _tokens(text: str) -> tuple[Secret, ...]:
    tokens = [token.strip() for token in text.split(",")]
    if not all(_TOKEN.fullmatch(token) for token in tokens):
        raise ValueError(
            "must be comma-separated tokens, each of at least 32 characters A-Z a-z 0-9 _ -"
        )
    return tuple(Secret(token) for token in tokens)


def _secret(text: str) -> Secret:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return Secret(text)


def _base_url(text: str) -> str:
    """Read an address; otherwise a bad one would fail only after a purchase is recorded."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError("must be an address with a port up to 65535") from error
    local = host in ("localhost", "127.0.0.1", "::1")
    if not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ValueError("must be an https:// address (http:// only on this machine)")
    if port == 0 or not (local or _HOST.fullmatch(host)):
        raise ValueError("must be an address with the name of a host")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be an address without query, fragment or user name")
    return text.rstrip("/")


def _days(text: str) -> int:
    if _count(text) > MAX_RETENTION_DAYS:
        raise ValueError(f"must be at most {MAX_RETENTION_DAYS} days")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def _minutes(text: str) -> int:
    if not _count(text):
        raise ValueError("must be at least 1 minute")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _bytes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 5 * 1024**4):
        raise ValueError("must be a number of bytes, at most the 5 TiB of an object")
    return int(text)


def _rate(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", text) else 0.0
    if not number:
        raise ValueError("must be a number of requests a second, more than 0")
    return number


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every function."""

    backend: str = _variable(
        "TRANSCRIPTS_BACKEND",
        _backend,
        "`google` (Pub/Sub, Firestore) or `embedded` (one SQLite file, no server)",
        default=GOOGLE,
    )
    data_dir: Path = _variable(
        "TRANSCRIPTS_DATA_DIR",
        Path,
        "embedded only: folder of the SQLite file",
        default=".transcripts",
    )

    @classmethod
    def variables(cls) -> tuple[Variable, ...]:
        """Return the variables of this function, in the order of their declaration."""
        return tuple(field.metadata["variable"] for field in dataclasses.fields(cls))

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from ``environ``; an empty value counts as absent.

        Raises ``SettingsError`` naming every variable that is missing or bad.
        """
        embedded = environ.get("TRANSCRIPTS_BACKEND", "").strip() == EMBEDDED
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in dataclasses.fields(cls):
            variable: Variable = field.metadata["variable"]
            default = variable.local if embedded else variable.default
            text = environ.get(variable.name, "").strip() or default
            if text is None:
                problems.append(f"{variable.name} is missing")
                continue
            try:
                # An empty default means that the variable is optional.
                values[field.name] = variable.parse(text) if text else ""
            except ValueError as error:
                problems.append(f"{variable.name} {error}")
        if problems:
            raise SettingsError("Settings: " + "; ".join(problems) + ".")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class CallbackSettings(Settings):
    """The settings of ``callback``."""

    callback_tokens: tuple[Secret, ...] = _variable(
        "CALLBACK_TOKENS",
        _tokens,
        "one or more comma-separated tokens, each at least 32 URL-safe characters; "
        "two live at once for rotation",
    )
    callback_topic: str = _variable(
        "CALLBACK_TOPIC",
        _matching(_TOPIC, "projects/PROJECT/topics/TOPIC"),
        "topic of callbacks, `projects/P/topics/T`",
        local="projects/local/topics/callbacks",
    )
    rejected_topic: str = _variable(
        "REJECTED_TOPIC",
        _matching(_TOPIC, "projects/PROJECT/topics/TOPIC"),
        "topic of callbacks that are no JSON object with a task id",
        local="projects/local/topics/callbacks-rejected",
    )


@dataclass(frozen=True, kw_only=True)
class StoreSettings(Settings):
    """The settings of every function with a store."""

    project: str = _variable(
        "GOOGLE_CLOUD_PROJECT",
        _matching(_PROJECT, "a project id"),
        "project of the database",
        local="local",
    )
    database: str = _variable(
        "FIRESTORE_DATABASE",
        _matching(_DATABASE, "a database id"),
        "Firestore database",
        default="(default)",
    )
    retention_days: int = _variable(
        "RETENTION_DAYS",
        _days,
        "days until tasks and submissions expire; 0 keeps them",
        default="0",
    )


def _queue(*, required: bool) -> Any:
    return _variable(
        "SUBMIT_QUEUE",
        _matching(_QUEUE, "projects/PROJECT/locations/LOCATION/queues/QUEUE"),
        "Cloud Tasks queue, `projects/P/locations/L/queues/Q`",
        default=None if required else "",
        local="",
    )


def _submit_url(*, required: bool) -> Any:
    return _variable(
        "SUBMIT_URL",
        _base_url,
        "URL of submit, which Cloud Tasks posts to",
        default=None if required else "",
        local="",
    )


_INVOKER: Final = _variable(
    "QUEUE_INVOKER",
    _matching(_ACCOUNT, "the e-mail address of a service account"),
    "service account whose OIDC token Cloud Tasks sends to submit",
    default="",
)
_MAX_OBJECT_BYTES: Final = _variable(
    "MAX_OBJECT_BYTES",
    _bytes,
    "larger objects are rejected as `too_large`, in bytes",
    default=str(5 * 1024**3),
)


_REDACT_FACES: Final = _variable(
    "REDACT_FACES",
    _switch,
    "`true` stores no face data in tasks; the raw bodies that are kept have it unchanged",
    default="false",
)


@dataclass(frozen=True, kw_only=True)
class SubscriberSettings(StoreSettings):
    """The settings of ``subscriber``."""

    results_topic: str = _variable(
        "RESULTS_TOPIC",
        _matching(_TOPIC, "projects/PROJECT/topics/TOPIC"),
        "topic for a message about every stored result; without it none is published",
        default="",
    )
    redact_faces: bool = _REDACT_FACES


_API_KEY_MEANING: Final = "API key of the Mavi account; results needs it only to delete assets"
_MAVI_BASE_URL: Final = _variable(
    "MAVI_BASE_URL",
    _base_url,
    "base URL of the Mavi API",
    default="https://mavi-backend.memories.ai/serve/api/v2",
)
_MAVI_REQUESTS_PER_SECOND: Final = _variable(
    "MAVI_REQUESTS_PER_SECOND",
    _rate,
    "the account's limit for each Mavi endpoint",
    default="1",
)


@dataclass(frozen=True, kw_only=True)
class ResultsSettings(StoreSettings):
    """The settings of ``results``."""

    mavi_api_key: Secret | str = _variable("MAVI_API_KEY", _secret, _API_KEY_MEANING, default="")
    mavi_base_url: str = _MAVI_BASE_URL
    mavi_requests_per_second: float = _MAVI_REQUESTS_PER_SECOND
    redact_faces: bool = _REDACT_FACES
    play_media: bool = _variable(
        "PLAY_MEDIA",
        _switch,
        "`true` lets the pages play the recordings of `UPLOAD_BUCKET`, by addresses that are"
        " valid for 15 minutes",
        default="false",
        local="true",
    )
    upload_bucket: str = _variable(
        "UPLOAD_BUCKET",
        _matching(_BUCKET, "the name of a bucket"),
        "the bucket whose recordings the pages may play",
        default="",
        local="uploads",
    )


@dataclass(frozen=True, kw_only=True)
class SubmitSettings(StoreSettings):
    """The settings of ``submit``."""

    mavi_api_key: Secret = _variable("MAVI_API_KEY", _secret, _API_KEY_MEANING)
    mavi_base_url: str = _MAVI_BASE_URL
    mavi_requests_per_second: float = _MAVI_REQUESTS_PER_SECOND
    submit_queue: str = _queue(required=False)
    submit_url: str = _submit_url(required=False)
    queue_invoker: str = _INVOKER
    max_object_bytes: int = _MAX_OBJECT_BYTES
    max_submissions_per_day: int = _variable(
        "MAX_SUBMISSIONS_PER_DAY",
        _count,
        "spend cap: purchases per UTC day; 0 is no cap",
        default="0",
    )


@dataclass(frozen=True, kw_only=True)
class IngestSettings(StoreSettings):
    """The settings of ``ingest``."""

    submit_queue: str = _queue(required=True)
    submit_url: str = _submit_url(required=True)
    queue_invoker: str = _INVOKER
    max_object_bytes: int = _MAX_OBJECT_BYTES


@dataclass(frozen=True, kw_only=True)
class SweepSettings(StoreSettings):
    """The settings of ``sweep``."""

    submit_queue: str = _queue(required=True)
    submit_url: str = _submit_url(required=True)
    queue_invoker: str = _INVOKER
    overdue_after_minutes: int = _variable(
        "OVERDUE_AFTER_MINUTES",
        _minutes,
        "minutes until a task without a result is `overdue`",
        default="360",
    )
    resubmit_overdue: int = _variable(
        "RESUBMIT_OVERDUE",
        _count,
        "how often an overdue asset is bought again, within the spend cap; 0 is never",
        default="0",
    )


FUNCTIONS: Final[Mapping[str, type[Settings]]] = {
    "submit": SubmitSettings,
    "ingest": IngestSettings,
    "callback": CallbackSettings,
    "subscriber": SubscriberSettings,
    "results": ResultsSettings,
    "sweep": SweepSettings,
}
