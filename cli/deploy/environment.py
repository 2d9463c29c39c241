"""An environment: one file of variables, one workspace of Terraform, one set of resources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.deploy.errors import Refused

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
EXAMPLE: Final = "terraform.tfvars.example"
EXAMPLE_PROJECT: Final = "my-project-123"
DEFAULT_PREFIX: Final = "transcripts"
DEFAULT_REGION: Final = "us-central1"
SECRETS: Final = ("mavi_api_key", "callback_tokens")
GIVEN_BY_MAKE: Final = (
    *SECRETS,
    "mavi_api_key_version",
    "callback_tokens_version",
    "package",
)

_ASSIGNMENT: Final = re.compile(r"^([A-Za-z_][\w-]*)\s*=\s*(.*?)\s*(?:#.*|//.*)?$", re.MULTILINE)
_DECLARATION: Final = re.compile(r'^variable "(\w+)"', re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """What has to be known of an environment before Terraform is asked."""

    name: str
    var_file: Path
    project: str
    prefix: str
    region: str
    database: str
    keeps_data: bool
    has_own_key: bool

    @property
    def bucket(self) -> str:
        """The upload bucket, as ``infra/storage.tf`` names it."""
        return f"{self.project}-{self.prefix}-uploads"

    @property
    def kept(self) -> dict[str, str]:
        """What a destroy keeps if data are protected: Terraform's address, and the id for import.

        The queue holds no data, but Cloud Tasks refuses the name of a deleted one for days:
        https://cloud.google.com/tasks/docs/deleting-appengine-queues-and-tasks
        """
        place = f"projects/{self.project}/locations/{self.region}"
        return {
            "google_firestore_database.this": f"projects/{self.project}/databases/{self.database}",
            "google_storage_bucket.uploads": f"{self.project}/{self.bucket}",
            "google_cloud_tasks_queue.submissions": f"{place}/queues/{self.prefix}-submissions",
        }


def load_environment(infra: Path, name: str) -> Environment:
    """Read ``infra/NAME.tfvars``; raises ``Refused`` for whatever is wrong with it."""
    if not NAME.fullmatch(name):
        raise Refused(f"ENV={name} is no name: use a-z, 0-9 and -, beginning with a letter.")
    for mixed_in in (*infra.glob("terraform.tfvars"), *infra.glob("*.auto.tfvars")):
        raise Refused(
            f"infra/{mixed_in.name} would be mixed into every environment. "
            f"Rename it to {name}.tfvars: each environment has a file of its own."
        )
    path = infra / f"{name}.tfvars"
    if not path.is_file():
        raise Refused(
            f"infra/{name}.tfvars is missing. Copy infra/{EXAMPLE} to it and set project."
        )
    environment = _read(path, declared_variables(infra))
    for other in sorted(infra.glob("*.tfvars")):
        if other != path and _place(other) == (environment.project, environment.prefix):
            raise Refused(
                f"infra/{other.name} has the same project and name as infra/{path.name}: "
                "two environments would fight for the same resources. Set another name."
            )
    return environment


def declared_variables(infra: Path) -> frozenset[str]:
    """Return the names of all variables of the configuration."""
    return frozenset(_DECLARATION.findall((infra / "variables.tf").read_text()))


def _read(path: Path, declared: frozenset[str]) -> Environment:
    values = _values(path)
    for name in values:
        if name in GIVEN_BY_MAKE:
            raise Refused(
                f"infra/{path.name} sets {name}, which does not belong into a file: make gives it."
            )
        if name not in declared:
            raise Refused(f"infra/{path.name} sets {name}, which infra/variables.tf does not have.")
    project = values.get("project", "").strip('"')
    if not project or project == EXAMPLE_PROJECT:
        raise Refused(f"infra/{path.name} names no project of yours: set project to its id.")
    prefix = values.get("name", DEFAULT_PREFIX).strip('"')
    return Environment(
        name=path.stem,
        var_file=path,
        project=project,
        prefix=prefix,
        region=_text(values, "region") or DEFAULT_REGION,
        database=_text(values, "database") or prefix,
        keeps_data=values.get("deletion_protection") != "false",
        has_own_key=_text(values, "kms_key") is not None,
    )


def _text(values: dict[str, str], name: str) -> str | None:
    value = values.get(name, "null")
    return None if value == "null" else value.strip('"')


def _place(path: Path) -> tuple[str, str]:
    values = _values(path)
    return values.get("project", "").strip('"'), values.get("name", DEFAULT_PREFIX).strip('"')


def _values(path: Path) -> dict[str, str]:
    """Return the assignments as they are written; of one over several lines, its first line."""
    return dict(_ASSIGNMENT.findall(path.read_text()))
