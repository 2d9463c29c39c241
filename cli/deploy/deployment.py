"""One environment's Terraform, opened: what it knows, and what is done with it."""

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
"""What a destroy would set back in a database that stays: its documents would no longer expire.

They are not adopted: to make one is to set it, again or for the first time.
"""

SHARED_GRANTS: Final = ("google_kms_crypto_key_iam_member.agents",)
"""What data that stay are read with, and another environment of the project with the same key."""

AGAIN: Final = (
    "Nothing is lost: mend what it says and run make deploy again, it goes on from there."
)


# https://github.com/hashicorp/terraform/blob/main/internal/terraform/node_resource_import.go, and
# Google's own answer where the provider hands it on.
_NOT_THERE: Final = re.compile(r"non-existent remote object|\bError 404\b")


class Deployment:
    """An environment whose backend is ready and whose workspace is chosen."""

    def __init__(self, terraform: Terraform, infra: Path, environment: Environment) -> None:
        """Take what ``open`` has prepared."""
        self._terraform = terraform
        self._infra = infra
        self._environment = environment
        self._plan_file = f"{environment.name}.tfplan"
        self._state: State | None = None

    @classmethod
    def open(cls, infra: Path, environment: Environment) -> Deployment:
        """Initialise and choose the workspace; raises ``Refused`` with what Terraform says."""
        terraform = Terraform(infra)
        answer = terraform.ask("init", "-input=false")
        if answer.code:
            raise Refused(f"terraform init failed:\n{answer.err.strip() or answer.out.strip()}")
        answer = terraform.ask("workspace", "select", "-or-create", environment.name)
        if answer.code:
            raise Refused(f"Workspace {environment.name} can't be chosen: {answer.complaint}")
        if not (infra / "backend.tf").exists():
            # Beside the output, which for callback-url is one line to be used.
            print(
                "State is kept on this machine only; infra/backend.tf.example says how to share.",
                file=sys.stderr,
            )
        return cls(terraform, infra, environment)

    @property
    def state(self) -> State:
        """What the last apply left; empty before the first."""
        if self._state is None:
            answer = self._terraform.ask("show", "-json")
            if answer.code:
                raise Refused(f"The state can't be read: {answer.complaint}")
            self._state = State.parse(answer.out)
        return self._state

    @property
    def region(self) -> str:
        """The region of the environment."""
        return self._environment.region

    @property
    def is_first(self) -> bool:
        """Whether no apply came so far that all secrets were written."""
        return not self.state.secret_versions.keys() >= secret_values.NAMES

    def placeholders(self) -> SecretValues:
        """Return what is as good as the values where none is needed."""
        return secret_values.placeholders(self.state.secret_versions)

    def values(self, given_api_key: Callable[[], str]) -> SecretValues:
        """Read each secret that was written, perhaps by an apply that failed, and make the others.

        Raises ``Refused`` if one can't be read, or what is given is no key.
        """
        environment = self._environment
        return secret_values.stored_or_first(
            environment.project, environment.prefix, self.state.secret_versions, given_api_key
        )

    def stored_values(self) -> SecretValues:
        """Read the live secrets; raises ``Refused``, also before the first deployment."""
        if self.is_first:
            raise self._not_deployed()
        return self.values(lambda: "")

    def _not_deployed(self) -> Refused:
        return Refused(f"{self._environment.name} is not deployed yet: make deploy comes first.")

    def plan(self, package: Path, values: SecretValues) -> None:
        """Show what would change, and keep it for ``apply``; raises ``StepFailed``."""
        self._terraform.with_environ(values.environ).show(
            *("plan", "-input=false", f"-out={self._plan_file}", *self._inputs(package)),
            hint="Nothing in the cloud was changed.",
        )

    def apply(self, values: SecretValues) -> None:
        """Apply just what was shown; raises ``StepFailed``."""
        # A saved plan holds no ephemeral value, so they are given once more.
        self._terraform.with_environ(values.environ).show(
            "apply", "-input=false", self._plan_file, hint=AGAIN
        )
        (self._infra / self._plan_file).unlink(missing_ok=True)
        self._state = None

    def make_agents(self, enabled: Collection[str]) -> None:
        """Have Google make its agents that are granted rights: a new project has none yet.

        Terraform's resource for it is in the beta provider only. A failure is told, not raised: the
        agents may be there.
        """
        services = ["cloudfunctions.googleapis.com", "pubsub.googleapis.com"]
        if self._environment.key:
            services += ["firestore.googleapis.com", "secretmanager.googleapis.com"]
        project = f"--project={self._environment.project}"
        for service in services:
            if service not in enabled:
                gcloud("services", "enable", service, project)
            answer = gcloud(
                "beta", "services", "identity", "create", f"--service={service}", project
            )
            if answer.code:
                print(f"The agent of {service} could not be made: {answer.complaint}")

    def adopt(self, package: Path, values: SecretValues) -> None:
        """Take over what an earlier destroy kept, as far as it is there; raises ``StepFailed``."""
        terraform = self._terraform.with_environ(values.environ)
        for address, resource_id in self._environment.kept.items():
            if self.state.knows(address):
                continue
            answer = terraform.ask(
                "import", "-input=false", *self._inputs(package), address, resource_id
            )
            if not answer.code:
                print(f"{resource_id}: taken over")
            elif _NOT_THERE.search(answer.out + answer.err):
                print(f"{resource_id}: not there, so it is made")
            else:
                raise StepFailed(
                    f"{resource_id} can't be taken over: {answer.complaint}\n"
                    "Nothing in the cloud was changed. Mend that, then: make deploy ADOPT=1"
                )
        self._state = None

    def check_destroy(self) -> None:
        """Raise ``Refused`` if data are to go that, as they were deployed, would stay."""
        if not self._environment.keeps_data and self.state.protects_data:
            raise Refused(
                "deletion_protection = false is not deployed yet, so the data would stay, out of "
                "Terraform's sight: make deploy first, then make destroy."
            )

    def farewell(self) -> str:
        """Say what a destroy takes and what it keeps."""
        environment = self._environment
        data = f"database {environment.database} and bucket {environment.bucket}"
        lines = [
            f"{environment.name}, in project {environment.project}:",
            "- goes: functions, topics with their dead letters, schedule, secrets, accounts",
            f"- stays: {data}, with all they hold, and their cost; the queue (deletion_protection)"
            if environment.keeps_data
            else f"- goes: {data}, with ALL THEY HOLD; the queue (deletion_protection = false)",
            "- stays: the enabled APIs, Google's own bucket gcf-v2-sources-…, the state's bucket",
        ]
        if environment.key:
            lines.append(f"- stays: what Google's agents may do with {environment.key}")
        lines.append("- Mavi goes on posting to the old URL: take it out of its console.")
        return "\n".join(lines)

    def destroy(self, package: Path) -> None:
        """Take everything down but what is kept; raises ``StepFailed``."""
        terraform = self._terraform.with_environ(self.placeholders().environ)
        # By the file, not by the deletion_policy that the state has: that may never have been
        # deployed so.
        kept = (*self._environment.kept, *KEPT_SETTINGS) if self._environment.keeps_data else ()
        left = [address for address in (*kept, *SHARED_GRANTS) if self.state.knows(address)]
        if left:
            terraform.show("state", "rm", *left, hint="Nothing was destroyed.")
        hint = "Run make destroy again: it goes on from there."
        if self.state.knows("google_compute_subnetwork.egress"):
            hint += " Google holds the subnet of static_ip for an hour or two after its last use."
        terraform.show(
            *("destroy", "-input=false", "-auto-approve", *self._inputs(package)), hint=hint
        )
        if self._environment.keeps_data:
            print("make deploy ADOPT=1 takes over what was kept.")

    def callback_url(self) -> str:
        """Return the callback URL with its newest token; raises ``Refused``."""
        token = self.stored_values().tokens[0]
        if "callback_url" not in self.state.outputs:
            raise self._not_deployed()
        return f"{self.state.outputs['callback_url']}/{token}"

    def _inputs(self, package: Path) -> list[str]:
        # Relative, so that the plan is the same on every machine.
        relative = os.path.relpath(package, self._infra)
        return [f"-var-file={self._environment.var_file.name}", f"-var=package={relative}"]
