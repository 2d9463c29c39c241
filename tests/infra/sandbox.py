"""Terraform on copies of ``infra/``: initialized once, planned as often as needed.

``terraform`` is the one on PATH, with the provider that ``TF_CLI_CONFIG_FILE`` selects. A plan
needs a provider that answers without an account, or an account.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.plan import Plan
from tests.infra.source import Source
from tests.infra.uses import CALLERS, USES

ROOT: Final = Path(__file__).resolve().parent.parent.parent
INFRA: Final = ROOT / "infra"
PROJECT: Final = "acme-media-1"
CHECKOV: Final = ROOT / ".tools" / "checkov" / "bin" / "checkov"

API_KEY: Final = "sentinel-key-that-must-show-nowhere"
TOKENS: Final = "sentinel-token-that-must-show-nowhere-at-all"

MISSING: Final = """\
They need terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install), and the
provider hashicorp/google: the internet, or TF_CLI_CONFIG_FILE with a local mirror."""

TIMEOUT_S: Final = 240
_LEFT_OUT: Final = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "*.tfstate*", "*.tfvars", "*.tfplan", "backend.tf"
)

IS_WORKER: Final = "PYTEST_XDIST_WORKER" in os.environ
SHARED_FOLDER: Final = (
    Path(tempfile.gettempdir()) / f"infra-plans-{os.getppid() if IS_WORKER else os.getpid()}"
)
"""The folder that the workers of one test run share; the process that started them removes it."""

if not IS_WORKER:
    atexit.register(shutil.rmtree, SHARED_FOLDER, ignore_errors=True)


class TerraformFailed(Exception):
    """Terraform refused a configuration; the message is its own output."""


@dataclass(frozen=True)
class TerraformSandbox:
    """An initialized copy of ``infra/``."""

    folder: Path

    def run(self, *arguments: str) -> str:
        """Run terraform and return its output; raises ``TerraformFailed``."""
        done = _terraform(self.folder, *arguments)
        if done.returncode:
            raise TerraformFailed(f"{done.stdout}\n{done.stderr}")
        return done.stdout

    @cached_property
    def source(self) -> Source:
        """The configuration as it is written now; do not edit it after the first use."""
        return Source(self.folder)

    def plan(self, variables: Mapping[str, Any]) -> Plan:
        """Plan from an empty state; raises ``TerraformFailed``."""
        return Plan(self.planned_document(variables), self.source)

    def planned_document(self, variables: Mapping[str, Any], *more: str) -> dict[str, Any]:
        """Return a plan from an empty state as JSON; raises ``TerraformFailed``."""
        given = {"project": PROJECT, "package": "package.zip", **variables}
        (self.folder / "test.tfvars.json").write_text(json.dumps(given))
        inputs = ("-input=false", "-var-file=test.tfvars.json", "-refresh=false", "-no-color")
        self.run("plan", *inputs, *more, "-out=test.tfplan")
        document: dict[str, Any] = json.loads(self.run("show", "-json", "test.tfplan"))
        return document

    def apply(self) -> str:
        """Apply the last plan, and return the state."""
        self.run("apply", "-input=false", "-no-color", "test.tfplan")
        return (self.folder / "terraform.tfstate").read_text()

    def copy(self) -> TerraformSandbox:
        """Return another one, to edit."""
        folder = _temporary_folder()
        shutil.copytree(INFRA, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
        (folder / ".terraform").symlink_to(self.folder / ".terraform")
        shutil.copy(self.folder / ".terraform.lock.hcl", folder)
        return TerraformSandbox(folder)


def refused_arguments(cases: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Give each case to the variables; return what Terraform says of each argument.

    Every case is one module that declares the variables of the case and those that they refer to.
    Validations that refer to others run only when all the rest passes, so what was refused is left
    out of a second run.
    """
    text = "\n".join(path.read_text() for path in sorted(INFRA.glob("*.tf")))
    found = re.findall(r'^(variable "(\w+)" \{.*?^\})', text, re.MULTILINE | re.DOTALL)
    variables = {name: body for body, name in found}
    needed = {"project": PROJECT, "package": "package.zip"}
    needed |= {"mavi_api_key": API_KEY, "callback_tokens": TOKENS}
    work = _temporary_folder()
    refused: list[dict[str, str]] = [{} for _ in cases]
    for attempt in range(2):
        lines, places = [], []
        for index, case in enumerate(cases):
            names = _referred_to(set(case), variables)
            given = {k: v for k, v in needed.items() if k in names}
            given |= {k: v for k, v in case.items() if k not in refused[index]}
            if attempt and all(_referred_to({name}, variables) == {name} for name in case):
                continue
            given["source"] = _module(work, {name: variables[name] for name in sorted(names)})
            arguments = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
            lines += [f'module "case_{index}" {{', *arguments, "}"]
            places += [(index, ""), *((index, name) for name in given), (index, "")]
        (work / "main.tf").write_text("\n".join(lines))
        _terraform(work, "init", "-input=false", "-no-color")
        for message in map(json.loads, _terraform(work, "plan", "-json").stdout.splitlines()):
            diagnostic = message.get("diagnostic", {})
            if diagnostic.get("severity") == "error" and diagnostic.get("range"):
                assert diagnostic["range"]["filename"] == "main.tf", diagnostic
                index, argument = places[diagnostic["range"]["start"]["line"] - 1]
                refused[index][argument] = diagnostic["detail"]
    return refused


def _referred_to(names: set[str], variables: Mapping[str, str]) -> set[str]:
    """Return some variables, and all that their validations refer to."""
    more = {n for name in names for n in re.findall(r"\bvar\.(\w+)", variables[name])}
    return names if more <= names else _referred_to(names | more, variables)


def _module(work: Path, variables: Mapping[str, str]) -> str:
    """Write a module that declares some variables, once for all cases that have the same."""
    folder = work / hashlib.sha256("".join(variables).encode()).hexdigest()[:16]
    if not folder.exists():
        folder.mkdir()
        (folder / "main.tf").write_text("\n".join(variables.values()))
        functions = dict.fromkeys(CALLERS, "")
        (folder / "locals.tf.json").write_text(json.dumps({"locals": {"functions": functions}}))
    return f"./{folder.name}"


def _shared(name: str, make: Callable[[], Any]) -> Any:
    """Make a JSON value once for all workers of this test run."""
    SHARED_FOLDER.mkdir(exist_ok=True)
    path = SHARED_FOLDER / f"{name}.json"
    with (SHARED_FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_text(json.dumps(make()))
    return json.loads(path.read_text())


@cache
def plan_of(use: str) -> Plan:
    """Return the plan of one of ``USES``; the workers of a test run share it."""

    def read() -> dict[str, Any]:
        example = ("-var-file=terraform.tfvars.example",) if use == "example" else ()
        return terraform_sandbox().planned_document(USES[use], *example)

    try:
        return Plan(_shared(use, read), terraform_sandbox().source)
    except TerraformFailed as error:
        skip_without_account(str(error))
        raise


@cache
def _initialized() -> TerraformSandbox | str:
    """Return the sandbox, or the reason why it cannot be made."""
    if shutil.which("terraform") is None:
        return "terraform is not installed."
    folder = _temporary_folder()
    shutil.copytree(INFRA, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
    sandbox = TerraformSandbox(folder)
    try:
        sandbox.run("init", "-backend=false", "-input=false", "-no-color")
    except (TerraformFailed, subprocess.TimeoutExpired) as error:
        return f"terraform init: {error}"
    return sandbox


def terraform_sandbox() -> TerraformSandbox:
    """Return the initialized sandbox of the unchanged configuration."""
    sandbox = _initialized()
    assert isinstance(sandbox, TerraformSandbox), sandbox
    return sandbox


def terraform_works() -> bool:
    """Tell whether terraform and its provider can be used."""
    return isinstance(_initialized(), TerraformSandbox)


def skip_without_account(output: str) -> None:
    """Skip the test if the provider asks for an account and none is required."""
    if "credentials" in output and os.environ.get("REQUIRE_TERRAFORM") != "1":
        pytest.skip("the real provider plans with an account only")


def planned(variables: Mapping[str, Any], sandbox: TerraformSandbox | None = None) -> Plan:
    """Plan some variables; skip the test where that needs an account."""
    try:
        return (sandbox or terraform_sandbox()).plan(variables)
    except TerraformFailed as error:
        skip_without_account(str(error))
        raise


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="infra-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, entry in (("package.zip", "submit.py"), ("package-2.zip", "ingest.py")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(entry, "")
    return folder


def _terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own arguments
        ["terraform", *arguments],  # noqa: S607 - the one on PATH is the one to use
        cwd=folder,
        env=_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


NO_ACCOUNT: Final = {
    "CHECKPOINT_DISABLE": "1",
    "GOOGLE_OAUTH_ACCESS_TOKEN": "made-up",
    "TF_IN_AUTOMATION": "1",
}
"""With these the real provider has no identity: whatever a test applies, it reaches no account."""

ACCOUNT_VARIABLES: Final = ("TF_VAR_", "TF_WORKSPACE", "GOOGLE_", "GCLOUD_", "CLOUDSDK_")


def _environ() -> dict[str, str]:
    kept = {k: value for k, value in os.environ.items() if not k.startswith(ACCOUNT_VARIABLES)}
    return kept | {
        **NO_ACCOUNT,
        "TF_VAR_mavi_api_key": API_KEY,
        "TF_VAR_callback_tokens": TOKENS,
    }
