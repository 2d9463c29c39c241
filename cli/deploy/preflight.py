"""Checks before anything is changed; each failure is one sentence that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Final, NamedTuple

from cli.deploy.environment import Environment
from cli.deploy.errors import Refused
from cli.deploy.programs import Output, capture, gcloud, is_installed

TERRAFORM_SINCE: Final = (1, 11)
TOOLS: Final = {
    "terraform": "https://developer.hashicorp.com/terraform/install",
    "gcloud": "https://cloud.google.com/sdk/docs/install",
}

FIRST_APIS: Final = (
    "cloudresourcemanager.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
)
"""APIs that Terraform calls before it can enable any; it enables the others itself."""

# An API has to be enabled in the project of the caller: for a service account, its own project.
_DISABLED: Final = re.compile(
    r"SERVICE_DISABLED|not enabled on project|has not been used in project"
)
_API: Final = re.compile(r"(?<![\w.])(?!type\.)[a-z]+\.googleapis\.com")
_CALLERS_PROJECT: Final = re.compile(r"projects?[ /=\[]+(\d+|[a-z][a-z0-9-]{4,28}[a-z0-9])")


# https://cloud.google.com/build/docs/locations#restricted_regions_for_some_projects
BUILD_REGIONS: Final = (
    "us-central1",
    "us-west2",
    "europe-west1",
    "asia-east1",
    "australia-southeast1",
    "southamerica-east1",
)
"""Regions in which every project may use Cloud Build."""


def build_region_warning(region: str) -> str | None:
    """Return a warning if Cloud Build may refuse to build in ``region``, else ``None``."""
    if region in BUILD_REGIONS:
        return None
    return (
        f"Some projects cannot run Cloud Build in {region}. If the build fails because of a quota, "
        f"request quota or choose one of {', '.join(BUILD_REGIONS)}: "
        "https://cloud.google.com/build/docs/locations#restricted_regions_for_some_projects"
    )


def check_tools() -> None:
    """Raise ``Refused`` unless terraform, new enough, and gcloud are installed."""
    missing = [f"{tool} ({url})" for tool, url in TOOLS.items() if not is_installed(tool)]
    if missing:
        raise Refused(f"Not installed: {' and '.join(missing)}.")
    check_terraform_version()


def check_terraform_version() -> None:
    """Raise ``Refused`` unless terraform supports write-only arguments."""
    answer = capture("terraform", "version", "-json")
    try:
        version = str(json.loads(answer.out)["terraform_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"terraform does not report its version: {answer.error_message}.") from error
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < TERRAFORM_SINCE:
        raise Refused(
            f"terraform {version} is too old: 1.11 or newer keeps secrets out of plan and state."
        )


def check_login() -> str:
    """Return gcloud's account; raises ``Refused`` unless it and Terraform have credentials."""
    answer = gcloud("auth", "list", "--filter=status:ACTIVE", "--format=value(account)")
    account = answer.out.strip()
    if not account:
        raise Refused("gcloud is not logged in. Run: gcloud auth login")
    if gcloud("auth", "application-default", "print-access-token").code:
        raise Refused("Terraform is not logged in. Run: gcloud auth application-default login")
    return account


def check_project(project: str) -> None:
    """Raise ``Refused`` unless the project exists, is active and has billing."""
    answer = gcloud("projects", "describe", project, "--format=value(lifecycleState)")
    if answer.code:
        raise _gcloud_error(
            answer,
            f"Project {project} does not exist, or you have no access: {answer.error_message}",
        )
    if answer.out.strip() != "ACTIVE":
        raise Refused(f"Project {project} is {answer.out.strip()}, not ACTIVE.")
    answer = gcloud("billing", "projects", "describe", project, "--format=value(billingEnabled)")
    if answer.code:
        raise _gcloud_error(
            answer,
            f"The billing state of project {project} cannot be read: {answer.error_message} "
            "You need roles/billing.viewer or roles/browser on it.",
        )
    if answer.out.strip().lower() != "true":
        raise Refused(
            f"Project {project} has no billing account. Run: "
            f"gcloud billing projects link {project} --billing-account ACCOUNT"
        )


def check_apis(project: str) -> Collection[str]:
    """Return the enabled APIs; raises ``Refused`` if a required one is disabled."""
    answer = gcloud(
        "services", "list", "--enabled", f"--project={project}", "--format=value(config.name)"
    )
    if answer.code:
        raise _gcloud_error(
            answer, f"The APIs of project {project} cannot be listed: {answer.error_message}"
        )
    enabled = frozenset(answer.out.split())
    missing = [api for api in FIRST_APIS if api not in enabled]
    if missing:
        raise Refused(
            f"Project {project} lacks APIs that Terraform needs first. Run: "
            f"gcloud services enable {' '.join(missing)} --project {project}"
        )
    return enabled


def _gcloud_error(answer: Output, otherwise: str) -> Refused:
    """Name the disabled API if that is why gcloud failed; otherwise use the other sentence."""
    api = _API.search(answer.err)
    project = _CALLERS_PROJECT.search(answer.err)
    if not _DISABLED.search(answer.err) or not api or not project:
        return Refused(otherwise)
    return Refused(
        f"gcloud failed: {api[0]} is not enabled in project {project[1]}, where calls of this "
        f"account are counted. Run: gcloud services enable {api[0]} --project {project[1]}"
    )


class Checked(NamedTuple):
    """The account of gcloud, and the enabled APIs."""

    account: str
    apis: Collection[str]


def check_all(environment: Environment) -> Checked:
    """Check login, project, billing and APIs, in this order; raises ``Refused``."""
    account = check_login()
    check_project(environment.project)
    return Checked(account, check_apis(environment.project))
