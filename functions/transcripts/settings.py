"""The settings of each function, read once from the environment into a frozen object.

Every variable is declared once, as a field of a class below: its name, its bounds, its default, its
meaning, and by the class the functions that read it. The table in ``docs/reference.md#settings`` is
made from these rows, and ``tests/infra`` compares Terraform's variables and each function's
environment with them. ``load`` reports every missing or bad variable in ONE error, without its
value, since a value may be a secret pasted into the wrong place.
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
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\.?")
_RATE: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")


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
class WholeNumber:
    """Reads a whole number between two bounds, which Terraform's variable has too."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        """Read ``text``; raises ``ValueError`` without it."""
        digits = text.isascii() and text.isdigit() and len(text) <= len(str(self.most))
        if not digits or not self.least <= int(text) <= self.most:
            raise ValueError(f"must be a whole number from {self.least} to {self.most}")
        return int(text)


@dataclass(frozen=True)
class Form:
    """Reads a text that has to match a pattern as a whole."""

    pattern: str
    wanted: str

    def __call__(self, text: str) -> str:
        """Read ``text``; raises ``ValueError`` without it."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"must be {self.wanted}")
        return text


BACKEND: Final = Form(f"{GOOGLE}|{EMBEDDED}", f"{GOOGLE} or {EMBEDDED}")
PROJECT: Final = Form(r"[a-z0-9.:-]{1,100}", "a project id")
DATABASE: Final = Form(r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", "a database id")
BUCKET: Final = Form(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", "the name of a bucket")
LOOPBACK: Final = "127.0.0.1, localhost, [::1]"
ACCOUNT: Final = Form(r"[^@\s]+@[^@\s]+", "the e-mail address of a service account")
TOPIC: Final = Form(
    r"projects/[^/]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}", "projects/PROJECT/topics/TOPIC"
)
QUEUE: Final = Form(
    r"projects/[^/]+/locations/[^/]+/queues/[A-Za-z0-9-]{1,100}",
    "projects/PROJECT/locations/LOCATION/queues/QUEUE",
)
COUNT: Final = WholeNumber(0, 999_999_999)


def switch(text: str) -> bool:
    """Read ``true`` or ``false``. Another spelling is not guessed."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def rate(text: str) -> float:
    """Read a number of requests a second, more than 0."""
    number = float(text) if _RATE.fullmatch(text) else 0.0
    if not number:
        raise ValueError("must be a number of requests a second, more than 0")
    return number


def host_names(text: str) -> frozenset[str]:
    """Read comma-separated names of hosts."""
    return frozenset(name.strip() for name in text.split(","))


def secret(text: str) -> Secret:
    """Read a key that an HTTP header can hold."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return Secret(text)


def tokens(text: str) -> tuple[Secret, ...]:
    """Read comma-separated tokens; blanks around them are ignored."""
    found = [token.strip() for token in text.split(",")]
    if not all(_TOKEN.fullmatch(token) for token in found):
        raise ValueError(
            "must be comma-separated tokens, each of at least 32 characters A-Z a-z 0-9 _ -"
        )
    return tuple(Secret(token) for token in found)


def base_url(text: str) -> str:
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


@dataclass(frozen=True)
class Variable:
    """One environment variable: how it is read and what it means.

    ``default`` holds for the google backend, ``local`` for the embedded one; ``None`` means that
    the variable must be given there, and an empty text that it is optional.
    """

    name: str
    parse: Callable[[str], Any]
    meaning: str
    default: str | None
    local: str | None

    def value(self, text: str) -> Any:
        """Return what the text means; raises ``ValueError``."""
        return self.parse(text) if text else ""


def _variable(
    name: str,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    default: str | None = None,
    local: str | None = None,
) -> Any:
    variable = Variable(name, parse, meaning, default, default if local is None else local)
    metadata = {"variable": variable}
    if default is None:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(metadata=metadata, default=variable.value(default))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every function."""

    backend: str = _variable(
        "TRANSCRIPTS_BACKEND",
        BACKEND,
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
        for field, variable in zip(dataclasses.fields(cls), cls.variables(), strict=True):
            default = variable.local if embedded else variable.default
            text = environ.get(variable.name, "").strip() or default
            if text is None:
                problems.append(f"{variable.name} is missing")
                continue
            try:
                values[field.name] = variable.value(text)
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
        tokens,
        "one or more comma-separated tokens, each at least 32 URL-safe characters; "
        "two live at once for rotation",
    )
    callback_topic: str = _variable(
        "CALLBACK_TOPIC",
        TOPIC,
        "topic of callbacks, `projects/P/topics/T`",
        local="projects/local/topics/callbacks",
    )
    rejected_topic: str = _variable(
        "REJECTED_TOPIC",
        TOPIC,
        "topic of callbacks that are no JSON object with a task id",
        local="projects/local/topics/callbacks-rejected",
    )

    @property
    def project(self) -> str:
        """The project of the topic, which is that of the function."""
        return self.callback_topic.split("/")[1]


@dataclass(frozen=True, kw_only=True)
class StoreSettings(Settings):
    """The settings of every function with a store."""

    project: str = _variable(
        "GOOGLE_CLOUD_PROJECT", PROJECT, "project of the database", local="local"
    )
    database: str = _variable(
        "FIRESTORE_DATABASE", DATABASE, "Firestore database", default="(default)"
    )
    retention_days: int = _variable(
        "RETENTION_DAYS",
        WholeNumber(0, 36_500),  # a date has an upper bound
        "days until tasks and submissions expire; 0 keeps them",
        default="0",
    )
    allowed_hosts: frozenset[str] | str = _variable(
        "ALLOWED_HOSTS",
        host_names,
        "local stack only: the hosts that requests may name, so that no site leads a name of its"
        " own to this machine",
        default="",
        local=LOOPBACK,
    )


@dataclass(frozen=True, kw_only=True)
class QueueSettings(StoreSettings):
    """The settings of every function that enqueues submissions."""

    submit_queue: str = _variable(
        "SUBMIT_QUEUE", QUEUE, "Cloud Tasks queue, `projects/P/locations/L/queues/Q`", local=""
    )
    submit_url: str = _variable(
        "SUBMIT_URL", base_url, "URL of submit, which Cloud Tasks posts to", local=""
    )
    queue_invoker: str = _variable(
        "QUEUE_INVOKER",
        ACCOUNT,
        "service account whose OIDC token Cloud Tasks sends to submit",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class ObjectLimits:
    """Which objects are accepted and bought, by settings of submit and ingest."""

    max_object_bytes: int = _variable(
        "MAX_OBJECT_BYTES",
        WholeNumber(1, 5 * 1024**4),  # the 5 TiB of an object
        "larger objects are rejected as `too_large`, in bytes",
        default=str(5 * 1024**3),
    )
    match_content: bool = _variable(
        "MATCH_CONTENT",
        switch,
        "`true` takes objects of one bucket with the same bytes for one recording, whatever their"
        " names are",
        default="false",
    )


_API_KEY: Final = "API key of the Mavi account; results needs it only to delete assets"


@dataclass(frozen=True, kw_only=True)
class MaviSettings(Settings):
    """The settings of every function that calls Mavi."""

    mavi_api_key: Secret | str = _variable(
        "MAVI_API_KEY",
        secret,
        _API_KEY,
        default="",
    )
    mavi_base_url: str = _variable(
        "MAVI_BASE_URL",
        base_url,
        "base URL of the Mavi API",
        default="https://mavi-backend.memories.ai/serve/api/v2",
    )
    mavi_requests_per_second: float = _variable(
        "MAVI_REQUESTS_PER_SECOND",
        rate,
        "the account's limit for each Mavi endpoint",
        default="1",
    )


@dataclass(frozen=True, kw_only=True)
class AnnouncingSettings(StoreSettings):
    """The settings of every function that tells of results."""

    results_topic: str = _variable(
        "RESULTS_TOPIC",
        TOPIC,
        "topic for a message about every stored result; without it none is published",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class NormalizingSettings(StoreSettings):
    """The settings of every function that makes results from callbacks."""

    redact_faces: bool = _variable(
        "REDACT_FACES",
        switch,
        "`true` stores no face data in tasks; the raw bodies that are kept have it unchanged",
        default="false",
    )


@dataclass(frozen=True, kw_only=True)
class SubscriberSettings(AnnouncingSettings, NormalizingSettings):
    """The settings of ``subscriber``."""


@dataclass(frozen=True, kw_only=True)
class ReaderSettings(StoreSettings):
    """The settings of ``reader``, and of every function with pages."""

    play_media: bool = _variable(
        "PLAY_MEDIA",
        switch,
        "`true` lets the pages play the recordings of `UPLOAD_BUCKET`, by addresses that are"
        " valid for 15 minutes",
        default="false",
        local="true",
    )
    upload_bucket: str = _variable(
        "UPLOAD_BUCKET",
        BUCKET,
        "the bucket whose recordings the pages may play",
        default="",
        local="uploads",
    )


@dataclass(frozen=True, kw_only=True)
class ResultsSettings(MaviSettings, NormalizingSettings, ReaderSettings):
    """The settings of ``results``."""


@dataclass(frozen=True, kw_only=True)
class SubmitSettings(ObjectLimits, MaviSettings, AnnouncingSettings, QueueSettings):
    """The settings of ``submit``."""

    mavi_api_key: Secret = _variable("MAVI_API_KEY", secret, _API_KEY)
    max_submissions_per_day: int = _variable(
        "MAX_SUBMISSIONS_PER_DAY",
        COUNT,
        "spend cap: purchases per UTC day; 0 is no cap",
        default="0",
    )


@dataclass(frozen=True, kw_only=True)
class IngestSettings(ObjectLimits, QueueSettings):
    """The settings of ``ingest``."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings(QueueSettings):
    """The settings of ``sweep``."""

    overdue_after_minutes: int = _variable(
        "OVERDUE_AFTER_MINUTES",
        WholeNumber(1, 999_999_999),
        "minutes until a task without a result is `overdue`",
        default="360",
    )
    resubmit_overdue: int = _variable(
        "RESUBMIT_OVERDUE",
        COUNT,
        "how often an overdue asset is bought again, within the spend cap; 0 is never",
        default="0",
    )


FUNCTIONS: Final[Mapping[str, type[Settings]]] = {
    "submit": SubmitSettings,
    "ingest": IngestSettings,
    "callback": CallbackSettings,
    "subscriber": SubscriberSettings,
    "results": ResultsSettings,
    "reader": ReaderSettings,
    "sweep": SweepSettings,
}
