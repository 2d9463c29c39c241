"""The complete command lines of every command, in order, and the environment of Terraform.

A line ends with the ephemeral values that were given: key, tokens and the version of each.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from cli.deploy.secret_values import PLACEHOLDER
from tests.deploy.conftest import ROOT, Run
from tests.deploy.fake_programs import (
    EPHEMERAL,
    KEY,
    KMS_KEY,
    PROJECT,
    TOKEN,
    Call,
    FakePrograms,
    state,
)
from tests.deploy.test_destroy import PROTECTED, UNPROTECTED, deployed

GIVEN: Final = "key-given-by-the-user"
NEWER: Final = "newer-token-newer-token-newer-token-newer"


def described(call: Call) -> str:
    """Return a command line with its options in order, and names in place of made-up values."""
    program, *words = call.text.split(" ")
    options = sorted(word for word in words if word.startswith("-"))
    line = " ".join([program, *(word for word in words if not word.startswith("-")), *options])
    line = re.sub(r"functions-[0-9a-f]{16}", "functions-HASH", line)
    if not call.values:
        return line
    key, tokens, *versions = (call.values.pop(name, "?") for name in EPHEMERAL)
    names = {KEY: "KEY", GIVEN: "GIVEN", TOKEN: "TOKEN", PLACEHOLDER: "ANY", NEWER: "NEWER"}
    tokens = "+".join(names.get(token, "NEW") for token in tokens.split(","))
    return f"{line} | {names.get(key, key)} {tokens} {' '.join(versions)}"


CHECKS: Final = (
    "terraform version -json",
    "gcloud auth list --filter=status:ACTIVE --format=value(account) --quiet",
    "gcloud auth application-default print-access-token --quiet",
    f"gcloud projects describe {PROJECT} --format=value(lifecycleState) --quiet",
    f"gcloud billing projects describe {PROJECT} --format=value(billingEnabled) --quiet",
    f"gcloud services list --enabled --format=value(config.name) --project={PROJECT} --quiet",
    "terraform init -input=false -no-color",
    "terraform workspace select production -no-color -or-create",
    "terraform show -json -no-color",
)
READ_KEY, READ_TOKENS = (
    "gcloud secrets versions access latest "
    f"--project={PROJECT} --quiet --secret=transcripts-{secret}"
    for secret in ("mavi-api-key", "callback-tokens")
)
READ_SECRETS: Final = (READ_KEY, READ_TOKENS)
INPUTS: Final = "-var-file=production.tfvars -var=package=../dist/functions-HASH.zip"
PLAN: Final = f"terraform plan -input=false -out=production.tfplan {INPUTS}"
APPLY: Final = "terraform apply production.tfplan -input=false"
SHOW: Final = "terraform show -json -no-color"
DESTROY: Final = f"terraform destroy -auto-approve -input=false {INPUTS}"
IMPORT: Final = "terraform import {} {} -input=false -no-color " + INPUTS
KEPT: Final = (
    "google_firestore_database.this google_storage_bucket.uploads "
    "google_cloud_tasks_queue.submissions google_firestore_field.expiry "
    "google_firestore_field.unindexed"
)


def agents(*services: str) -> tuple[str, ...]:
    return tuple(
        f"gcloud {words}{service}.googleapis.com{end} --project={PROJECT} --quiet"
        if "enable" in words
        else f"gcloud {words} --project={PROJECT} --quiet --service={service}.googleapis.com"
        for service in services
        for words, end in (("services enable ", ""), ("beta services identity create", ""))
    )


LINES: Final[Mapping[str, tuple[str, ...]]] = {
    "plan": (*CHECKS, f"{PLAN} | ANY ANY 3 5"),
    "first plan": (*CHECKS, f"{PLAN} | ANY ANY 1 1"),
    "first deploy": (
        *CHECKS,
        f"{PLAN} | GIVEN NEW 1 1",
        *agents("cloudfunctions", "pubsub"),
        f"{APPLY} | GIVEN NEW 1 1",
        SHOW,
        *READ_SECRETS,
    ),
    "first deploy with a key of one's own": (
        *CHECKS,
        f"{PLAN} | GIVEN NEW 1 1",
        *agents("cloudfunctions", "pubsub", "firestore", "secretmanager"),
        f"{APPLY} | GIVEN NEW 1 1",
        SHOW,
        *READ_SECRETS,
    ),
    "deploy": (
        *CHECKS,
        *READ_SECRETS,
        f"{PLAN} | KEY TOKEN 3 5",
        f"{APPLY} | KEY TOKEN 3 5",
        SHOW,
        *READ_SECRETS,
    ),
    "deploy what a destroy kept": (
        *CHECKS,
        *READ_SECRETS,
        IMPORT.format("google_firestore_database.this", f"projects/{PROJECT}/databases/transcripts")
        + " | KEY TOKEN 3 5",
        IMPORT.format(
            "google_cloud_tasks_queue.submissions",
            f"projects/{PROJECT}/locations/us-central1/queues/transcripts-submissions",
        )
        + " | KEY TOKEN 3 5",
        f"{PLAN} | KEY TOKEN 3 5",
        SHOW,
        f"{APPLY} | KEY TOKEN 3 5",
        SHOW,
        *READ_SECRETS,
    ),
    "destroy": (*CHECKS, f"terraform state rm {KEPT} | ANY ANY 3 5", f"{DESTROY} | ANY ANY 3 5"),
    "destroy all": (*CHECKS, f"{DESTROY} | ANY ANY 3 5"),
    "callback-url": (*CHECKS, *READ_SECRETS),
    "rotate-token": (
        *CHECKS,
        *READ_SECRETS,
        f"{PLAN} | KEY NEW+TOKEN 3 6",
        f"{APPLY} | KEY NEW+TOKEN 3 6",
        SHOW,
        *READ_SECRETS,
    ),
    "rotate-token --retire": (
        *CHECKS,
        *READ_SECRETS,
        f"{PLAN} | KEY NEWER 3 6",
        f"{APPLY} | KEY NEWER 3 6",
    ),
    "set-api-key": (
        *CHECKS,
        *READ_SECRETS,
        f"{PLAN} | GIVEN TOKEN 4 5",
        f"{APPLY} | GIVEN TOKEN 4 5",
    ),
}
ARGUMENTS: Final = {
    "first plan": ["plan"],
    "first deploy": ["deploy", "--yes"],
    "first deploy with a key of one's own": ["deploy", "--yes"],
    "deploy what a destroy kept": ["deploy", "--yes", "--adopt"],
    "destroy all": ["destroy", "--yes"],
    "plan": ["plan"],
    "callback-url": ["callback-url"],
}


def prepare(case: str, root: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring the project into the state that a case starts from."""
    if case.startswith("first"):
        programs.answer("terraform show -json", '{"format_version": "1.0"}')
        programs.answer("terraform show -json", state(), once_applied=True)
    if case.startswith("first deploy") or case == "set-api-key":
        monkeypatch.setenv("MAVI_API_KEY", GIVEN)
    lines = {
        "first deploy with a key of one's own": f'kms_key = "{KMS_KEY}"\n',
        "destroy all": "deletion_protection = false\n",
    }
    with (root / "infra" / "production.tfvars").open("a") as file:
        file.write(lines.get(case, ""))
    if case.startswith("destroy"):
        gone = case == "destroy all"
        resources: Mapping[str, Any] = deployed(UNPROTECTED if gone else PROTECTED, may_go=gone)
        programs.answer("terraform show -json", state(resources))
    if case == "rotate-token --retire":
        start = "gcloud secrets versions access latest --secret=transcripts-callback-tokens"
        programs.answer(start, f"{NEWER},{TOKEN}")


@pytest.mark.parametrize("case", LINES)
def test_command_runs_exactly_its_command_lines(
    case: str, run: Run, root: Path, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more, nothing less, in this order; plan and apply have the same values."""
    prepare(case, root, programs, monkeypatch)
    result = run(*ARGUMENTS.get(case, [*case.split(), "--yes"]))
    assert result.exit_code == 0, result.output
    calls = programs.calls
    assert [described(call) for call in calls] == list(LINES[case])
    in_infra = [call for call in calls if call.text.startswith("terraform")][1:]
    assert {tuple(call.chdir) for call in in_infra} == {(f"-chdir={root / 'infra'}",)}
    assert {call.environ["TF_IN_AUTOMATION"] for call in in_infra} == {"1"}
    text = "\n".join(call.text for call in calls)
    assert [value for value in (KEY, TOKEN, GIVEN, NEWER) if value in text] == []
    assert (root / "infra" / "production.tfplan").exists() is False


TARGETS: Final = {
    "package": "package",
    "plan": 'plan --env "production"',
    "plan ENV=staging YES=1": 'plan --env "staging"',
    "deploy": 'deploy --env "production"',
    "deploy ENV=staging YES=1": 'deploy --env "staging" --yes',
    "deploy ADOPT=1": 'deploy --env "production" --adopt',
    "destroy": 'destroy --env "production"',
    "destroy ENV=staging YES=1": 'destroy --env "staging" --yes',
    "callback-url": 'callback-url --env "production"',
    "rotate-token": 'rotate-token --env "production"',
    "rotate-token RETIRE=1 YES=1": 'rotate-token --env "production" --yes --retire',
    "set-api-key": 'set-api-key --env "production"',
    "set-api-key YES=1": 'set-api-key --env "production" --yes',
}


@pytest.mark.parametrize("arguments", TARGETS)
def test_target_of_make_runs_exactly_its_command(arguments: str) -> None:
    """Each target runs one command, and asks unless YES=1 is given."""
    done = subprocess.run(  # noqa: S603 - only prints what it would run
        ["make", "-n", "--no-print-directory", *arguments.split()],  # noqa: S607 - the one on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    found = [line for line in lines if "cli.deploy" in line]
    assert found == [f".venv/bin/python -m cli.deploy {TARGETS[arguments]}"]
