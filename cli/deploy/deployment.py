"""One environment's Terraform: its state, and plan, apply, import and destroy."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from cli.deploy import secret_values
from cli.deploy.environment import Environment
from cli.deploy.errors import Refused, StepFailed
from cli.deploy.programs import Terraform, gcloud
from cli.deploy.secret_values import SecretValues
from cli.deploy.state import State

KEPT_SETTINGS: Final = ("google_firestore_field.expiry", "google_firestore_field.unindexed")
"""Settings of the database that a destroy would reset: documents would no longer expire.

They need no import: Terraform creates one by setting it.
"""

SHARED_GRANTS: Final = ("google_kms_crypto_key_iam_member.agents",)
"""Grants on the key, which kept data and other environments with the same key need."""

RETRY_HINT: Final = (
    "Nothing is lost: repair what Terraform reports and run make deploy again, it continues there."
)


# https://github.com/hashicorp/terraform/blob/main/internal/terraform/node_resource_import.go, and
# Google's own answer where the provider passes it on.
_NOT_FOUND: Final = re.compile(r"non-existent remote object|\bError 404\b")


class Deployment:
    """An environment whose backend is initialized and whose workspace is selected."""

    def __init__(self, terraform: Terraform, infra: Path, environment: Environment) -> None:
        self._terraform = terraform
        self._infra = infra
        self.environment = environment
        self._plan_file = f"{environment.name}.tfplan"
        self._state: State | None = None

    @classmethod
    def open(cls, infra: Path, environment: Environment) -> Deployment:
        """Initialize and select the workspace; raises ``Refused`` with Terraform's message."""
        terraform = Terraform(infra)
        answer = terraform.capture("init", "-input=false")
        if answer.code:
            raise Refused(f"terraform init failed:\n{answer.err.strip() or answer.out.strip()}")
        answer = terraform.capture("workspace", "select", "-or-create", environment.name)
        if answer.code:
            raise Refused(
                f"Workspace {environment.name} cannot be selected: {answer.error_message}"
            )
        if not (infra / "backend.tf").exists():
            # On stderr: the output of callback-url is one line for other programs.
            print(
                "The state is on this machine only; infra/backend.tf.example says how to share it.",
                file=sys.stderr,
            )
        return cls(terraform, infra, environment)

    @property
    def state(self) -> State:
        """The state after the last apply; empty before the first."""
        if self._state is None:
            answer = self._terraform.capture("show", "-json")
            if answer.code:
                raise Refused(f"The state cannot be read: {answer.error_message}")
            self._state = State.parse(answer.out)
        return self._state

    @property
    def is_first_deployment(self) -> bool:
        """Whether no apply has written all secrets yet."""
        return not self.state.secret_versions.keys() >= secret_values.NAMES

    def placeholders(self) -> SecretValues:
        """Return values for commands that store none."""
        return secret_values.placeholders(self.state.secret_versions)

    def values(self, given_api_key: Callable[[], str]) -> SecretValues:
        """Read each stored secret, even one that a failed apply stored, and create the others.

        Raises ``Refused`` if a secret cannot be read, or the given key is malformed.
        """
        environment = self.environment
        return secret_values.stored_or_first(
            environment.project, environment.prefix, self.state.secret_versions, given_api_key
        )

    def stored_values(self) -> SecretValues:
        """Read the live secrets; raises ``Refused``, also before the first deployment."""
        if self.is_first_deployment:
            raise self._not_deployed()
        return self.values(lambda: "")

    def _not_deployed(self) -> Refused:
        return Refused(f"{self.environment.name} is not deployed yet. Run make deploy first.")

    def plan(self, package: Path, values: SecretValues) -> None:
        """Show the plan and save it for ``apply``; raises ``StepFailed``."""
        self._terraform.with_environ(values.environ).show(
            *("plan", "-input=false", f"-out={self._plan_file}", *self._inputs(package)),
            hint="Nothing in the cloud was changed.",
        )

    def apply(self, values: SecretValues) -> None:
        """Apply the saved plan, with the values it was made with; raises ``StepFailed``."""
        # A saved plan holds no ephemeral values, so they are passed again.
        self._terraform.with_environ(values.environ).show(
            "apply", "-input=false", self._plan_file, hint=RETRY_HINT
        )
        (self._infra / self._plan_file).unlink(missing_ok=True)
        self._state = None

    def create_service_agents(self, enabled: Collection[str]) -> None:
        """Create Google's service agents, which a new project lacks and which grants refer to.

        Terraform's resource for it is in the beta provider only. A failure is printed, not raised:
        the agent may exist already.
        """
        services = ["cloudfunctions.googleapis.com", "pubsub.googleapis.com"]
        if self.environment.key:
            services += ["firestore.googleapis.com", "secretmanager.googleapis.com"]
        project = f"--project={self.environment.project}"
        for service in services:
            if service not in enabled:
                gcloud("services", "enable", service, project)
            answer = gcloud(
                "beta", "services", "identity", "create", f"--service={service}", project
            )
            if answer.code:
                print(
                    f"The service agent of {service} could not be created: {answer.error_message}"
                )

    def import_kept(self, package: Path, values: SecretValues) -> None:
        """Import what an earlier destroy kept and what still exists; raises ``StepFailed``."""
        terraform = self._terraform.with_environ(values.environ)
        for address, resource_id in self.environment.kept.items():
            if self.state.has(address):
                continue
            answer = terraform.capture(
                "import", "-input=false", *self._inputs(package), address, resource_id
            )
            if not answer.code:
                print(f"{resource_id}: imported")
            elif _NOT_FOUND.search(answer.out + answer.err):
                print(f"{resource_id}: not found, Terraform creates it")
            else:
                raise StepFailed(
                    f"{resource_id} cannot be imported: {answer.error_message}\n"
                    "Nothing in the cloud was changed. Repair that, then run: make deploy ADOPT=1"
                )
        self._state = None

    def check_destroy(self) -> None:
        """Raise ``Refused`` if data should be deleted that is still protected as deployed."""
        if not self.environment.keeps_data and self.state.protects_data:
            raise Refused(
                "deletion_protection = false is not deployed yet: the data would stay, unknown to "
                "Terraform. Run make deploy first, then make destroy."
            )

    def destroy_summary(self) -> str:
        """Return what a destroy deletes and what it keeps."""
        environment = self.environment
        data = f"database {environment.database} and bucket {environment.bucket}"
        lines = [
            f"{environment.name}, in project {environment.project}:",
            "- deleted: functions, topics with their dead letters, schedule, secrets, accounts",
            f"- kept: {data}, with their data and their cost; the queue (deletion_protection)"
            if environment.keeps_data
            else f"- deleted: {data}, with ALL THEIR DATA; the queue (deletion_protection = false)",
            "- kept: the enabled APIs, Google's own bucket gcf-v2-sources-…, the state's bucket",
        ]
        if environment.key:
            lines.append(f"- kept: the roles of Google's service agents on {environment.key}")
        lines.append("- Mavi keeps posting to the old URL: remove it from Mavi's console.")
        return "\n".join(lines)

    def destroy(self, package: Path) -> None:
        """Destroy everything except what is kept; raises ``StepFailed``."""
        terraform = self._terraform.with_environ(self.placeholders().environ)
        # The file decides, not the deletion_policy in the state: the file may never have been
        # deployed.
        kept = (*self.environment.kept, *KEPT_SETTINGS) if self.environment.keeps_data else ()
        left = [address for address in (*kept, *SHARED_GRANTS) if self.state.has(address)]
        if left:
            terraform.show("state", "rm", *left, hint="Nothing was destroyed.")
        hint = "Run make destroy again: it continues there."
        if self.state.has("google_compute_subnetwork.egress"):
            hint += " Google keeps the subnet of static_ip in use for an hour or two."
        terraform.show(
            *("destroy", "-input=false", "-auto-approve", *self._inputs(package)), hint=hint
        )
        if self.environment.keeps_data:
            print("make deploy ADOPT=1 imports what was kept.")

    def callback_url(self) -> str:
        """Return the callback URL with its newest token; raises ``Refused``."""
        token = self.stored_values().tokens[0]
        if "callback_url" not in self.state.outputs:
            raise self._not_deployed()
        return f"{self.state.outputs['callback_url']}/{token}"

    def _inputs(self, package: Path) -> list[str]:
        # Relative, so that the plan is the same on every machine.
        relative = os.path.relpath(package, self._infra)
        return [f"-var-file={self.environment.var_file.name}", f"-var=package={relative}"]
