"""An environment: one file of variables, one workspace of Terraform, one set of resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcl2.api import loads
from lark.exceptions import LarkError

from cli.deploy.errors import Refused
from transcripts.settings import MaviSettings

ACCESS: Final = ("uploaders", "submit_callers", "results_callers")
"""The lists of people. By default each is empty: nobody may upload, submit and read."""

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

AUTO_LOADED: Final = (
    "terraform.tfvars",
    "terraform.tfvars.json",
    "*.auto.tfvars",
    "*.auto.tfvars.json",
)
"""https://developer.hashicorp.com/terraform/language/values/variables#variable-definitions-tfvars-files"""

_TEXT: Final = re.compile(r'[^"\\$%\n]*')
"""No expression, which is read as ``${…}``, and no escape sequence."""

_DECLARATION: Final = re.compile(r'^variable "(\w+)"', re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """The facts about an environment that the commands need before Terraform runs."""

    name: str
    var_file: Path
    project: str
    prefix: str
    region: str
    database: str
    keeps_data: bool
    key: str | None
    mavi_base_url: str = MaviSettings.mavi_base_url
    unset_access: tuple[str, ...] = ()
    """The names of ``ACCESS`` that the file does not set."""

    def set_access(self, *members: str) -> None:
        """Append every unset list of people to the file, with these IAM members."""
        quoted = ", ".join(f'"{member}"' for member in members)
        lines = [f"{name} = [{quoted}]\n" for name in self.unset_access]
        text = self.var_file.read_text(encoding="utf-8-sig").rstrip("\n")
        self.var_file.write_text(f"{text}\n\n{''.join(lines)}")

    @property
    def bucket(self) -> str:
        """The upload bucket, as ``infra/storage.tf`` names it."""
        return f"{self.project}-{self.prefix}-uploads"

    @property
    def kept(self) -> dict[str, str]:
        """The resources that a destroy keeps if data is protected: address and id for import.

        The queue holds no data, but Cloud Tasks refuses the name of a deleted queue for days:
        https://cloud.google.com/tasks/docs/deleting-appengine-queues-and-tasks
        """
        place = f"projects/{self.project}/locations/{self.region}"
        return {
            "google_firestore_database.this": f"projects/{self.project}/databases/{self.database}",
            "google_storage_bucket.uploads": f"{self.project}/{self.bucket}",
            "google_cloud_tasks_queue.submissions": f"{place}/queues/{self.prefix}-submissions",
        }


def load_environment(infra: Path, name: str) -> Environment:
    """Read ``infra/NAME.tfvars``; raises ``Refused`` if anything is wrong with it."""
    if not NAME.fullmatch(name):
        raise Refused(
            f"ENV={name} is not a valid name: use a-z, 0-9 and -, beginning with a letter."
        )
    for auto_loaded in (path for pattern in AUTO_LOADED for path in infra.glob(pattern)):
        raise Refused(
            f"Terraform would load infra/{auto_loaded.name} in every environment. "
            f"Rename it to {name}.tfvars: each environment has its own file."
        )
    path = infra / f"{name}.tfvars"
    if not path.is_file():
        raise Refused(
            f"infra/{name}.tfvars is missing. Copy infra/{EXAMPLE} to it and set project; if"
            f" somebody else has deployed {name}: make fetch-variables ENV={name}"
        )
    environment = _read(path, declared_variables(infra))
    for other in sorted(infra.glob("*.tfvars")):
        if other != path and _VarFile(other).place == (environment.project, environment.prefix):
            raise Refused(
                f"infra/{other.name} has the same project and name as infra/{path.name}: "
                "two environments would manage the same resources. Set another name."
            )
    return environment


def declared_variables(infra: Path) -> frozenset[str]:
    """Return the names of all variables of the configuration."""
    texts = (path.read_text() for path in sorted(infra.glob("*.tf")))
    return frozenset(name for text in texts for name in _DECLARATION.findall(text))


def _read(path: Path, declared: frozenset[str]) -> Environment:
    values = _VarFile(path)
    for name in values.names:
        if name in GIVEN_BY_MAKE:
            raise Refused(
                f"infra/{path.name} sets {name}, which does not belong in a file: make sets it."
            )
        if name not in declared:
            raise Refused(f"infra/{path.name} sets {name}, which no file in infra/ declares.")
    project, prefix = values.place
    if not project or project == EXAMPLE_PROJECT:
        raise Refused(f"infra/{path.name} does not name your project: set project to its id.")
    return Environment(
        name=path.stem,
        var_file=path,
        project=project,
        prefix=prefix,
        region=values.text("region") or DEFAULT_REGION,
        database=values.text("database") or prefix,
        keeps_data=values.flag("deletion_protection", default=True),
        key=values.text("kms_key"),
        mavi_base_url=values.text("mavi_base_url") or MaviSettings.mavi_base_url,
        unset_access=tuple(name for name in ACCESS if name not in values.names),
    )


class _VarFile:
    """A file of values for Terraform's variables."""

    def __init__(self, path: Path) -> None:
        """Read the file as Terraform does; raises ``Refused`` if it is malformed."""
        self._file = f"infra/{path.name}"
        try:
            # Terraform accepts a byte order mark too.
            text = path.read_text(encoding="utf-8-sig")
            self._values: Mapping[str, Any] = loads(text)
        except (LarkError, RuntimeError, TypeError, UnicodeError) as error:
            line = getattr(error, "line", None)
            where = f" line {line}" if isinstance(line, int) and line > 0 else ""
            raise Refused(
                f"{self._file}{where} cannot be read: a line is a variable, = and its value, "
                f"as in infra/{EXAMPLE}."
            ) from error

    @property
    def names(self) -> list[str]:
        """The variables that are set, in order."""
        return list(self._values)

    @property
    def place(self) -> tuple[str | None, str]:
        """Project and prefix, which have to differ between environments."""
        return self.text("project"), self.text("name") or DEFAULT_PREFIX

    def text(self, name: str) -> str | None:
        """Return a string; raises ``Refused`` if the value is anything else."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not _TEXT.fullmatch(value):
            wrong = " ".join(str(value).split())
            raise Refused(f"{self._file} sets {name} to {wrong}; it takes a string in quotes.")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false; raises ``Refused`` if the value is anything else."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            wrong = "null" if value is None else f'"{value}"' if isinstance(value, str) else value
            raise Refused(
                f"{self._file} sets {name} to {wrong}; it takes true or false, without quotes."
            )
        return value
