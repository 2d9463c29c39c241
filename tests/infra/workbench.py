"""Terraform on copies of ``infra/``: made ready once, planned as often as is wanted.

``terraform`` is what PATH and ``TF_CLI_CONFIG_FILE`` lead to; nothing here knows which provider
answers. A plan needs one that answers without an account, or an account.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.infra.plan import Plan

ROOT: Final = Path(__file__).resolve().parent.parent.parent
INFRA: Final = ROOT / "infra"
PROJECT: Final = "acme-media-1"
CHECKOV: Final = ROOT / ".tools" / "checkov" / "bin" / "checkov"

API_KEY: Final = "sentinel-key-that-must-show-nowhere"
TOKENS: Final = "sentinel-token-that-must-show-nowhere-at-all"

MISSING: Final = """\
They need terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install), and the
provider hashicorp/google: the internet, or TF_CLI_CONFIG_FILE with a local mirror."""

INIT_TIMEOUT_S: Final = 100
_LEFT_OUT: Final = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfvars", "*.tfplan", "backend.tf"
)

EVERYTHING: Final[Mapping[str, Any]] = {
    "name": "stg-all",
    "region": "europe-west1",
    "database": "results-db",
    "static_ip": True,
    "alert_email": "ops@example.com",
    "kms_key": "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k",
    "submit_callers": ["user:ada@example.com"],
    "uploaders": ["group:editors@example.com"],
    "retention_days": 90,
    "upload_retention_days": 0,
    "mavi_requests_per_second": 2.5,
    "function_sizes": {"callback": {"min_instances": 1, "max_instances": 3}},
}
"""Every option on but firestore_location, which has to be the region where a key is."""


class TerraformFailed(Exception):
    """Terraform refused a configuration; the message is its own."""


@dataclass(frozen=True)
class Workbench:
    """A copy of ``infra/`` that is initialised."""

    folder: Path

    def run(self, *arguments: str, timeout_s: float = 100) -> str:
        """Run terraform and return what it says; raises ``TerraformFailed``."""
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["terraform", *arguments],  # noqa: S607 - the one of PATH is the one that is wanted
            cwd=self.folder,
            env=_environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if done.returncode:
            raise TerraformFailed(f"{done.stdout}\n{done.stderr}")
        return done.stdout

    def plan(self, variables: Mapping[str, Any] | None = None) -> Plan:
        """Plan from nothing; raises ``TerraformFailed``."""
        given = {"project": PROJECT, "package": "package.zip", **(variables or {})}
        (self.folder / "test.tfvars.json").write_text(json.dumps(given))
        self.run("plan", *_INPUTS, "-refresh=false", "-out=test.tfplan", "-no-color")
        return Plan(json.loads(self.run("show", "-json", "test.tfplan")), self.folder)

    def apply(self) -> str:
        """Apply the last plan, and return the state."""
        self.run("apply", "-input=false", "-no-color", "test.tfplan")
        return (self.folder / "terraform.tfstate").read_text()

    def copy(self) -> Workbench:
        """Return another one, to edit."""
        folder = _temporary_folder()
        shutil.copytree(INFRA, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
        (folder / ".terraform").symlink_to(self.folder / ".terraform")
        shutil.copy(self.folder / ".terraform.lock.hcl", folder)
        return Workbench(folder)


_INPUTS: Final = (
    "-input=false",
    "-var-file=test.tfvars.json",
)


@cache
def workbench() -> Workbench | str:
    """Return one that is ready, or why there is none."""
    if shutil.which("terraform") is None:
        return "terraform is not installed."
    folder = _temporary_folder()
    shutil.copytree(INFRA, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
    ready = Workbench(folder)
    try:
        arguments = ("init", "-backend=false", "-input=false", "-no-color")
        ready.run(*arguments, timeout_s=INIT_TIMEOUT_S)
    except (TerraformFailed, subprocess.TimeoutExpired) as error:
        return f"terraform init: {error}"
    return ready


def terraform_works() -> bool:
    """Tell whether terraform and its provider are here."""
    return isinstance(workbench(), Workbench)


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="infra-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with zipfile.ZipFile(folder / "package.zip", "w") as archive:
        archive.writestr("submit.py", "")
    return folder


NOBODY: Final = {
    "CHECKPOINT_DISABLE": "1",
    "GOOGLE_OAUTH_ACCESS_TOKEN": "made-up",
    "TF_IN_AUTOMATION": "1",
}
"""With these the real provider is nobody: whatever a test applies, it reaches no account."""

ACCOUNT_VARIABLES: Final = ("TF_VAR_", "TF_WORKSPACE", "GOOGLE_", "GCLOUD_", "CLOUDSDK_")


def _environ() -> dict[str, str]:
    kept = {k: value for k, value in os.environ.items() if not k.startswith(ACCOUNT_VARIABLES)}
    return kept | {
        **NOBODY,
        "TF_VAR_mavi_api_key": API_KEY,
        "TF_VAR_callback_tokens": TOKENS,
    }
