"""One environment's Terraform, opened: what it knows, and what is done with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from cli.deploy import secret_values
from cli.deploy.environment import Environment
from cli.deploy.errors import Refused
from cli.deploy.programs import Terraform, gcloud
from cli.deploy.secret_values import SecretValues

DATABASE: Final = "google_firestore_database.this"
AGAIN: Final = (
    "Nothing is lost: mend what it says and run make deploy again, it goes on from there."
)


class Deployment:
    """An environment whose backend is ready and whose workspace is chosen."""

    def __init__(self, terraform: Terraform, infra: Path, environment: Environment) -> None:
        """Take what ``open`` has prepared."""
        self._terraform = terraform
        self._infra = infra
        self._environment = environment
        self._plan_file = f"{environment.name}.tfplan"
        self._outputs: dict[str, Any] | None = None

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

    def outputs(self) -> dict[str, Any]:
        """Return what the last apply left; empty before the first."""
        if self._outputs is None:
            answer = self._terraform.ask("output", "-json")
            if answer.code:
                raise Refused(f"The state can't be read: {answer.complaint}")
            self._outputs = json.loads(answer.out or "{}")
        return self._outputs

    @property
    def is_first(self) -> bool:
        """Whether nothing was ever applied to its end."""
        outputs = self.outputs()
        return not ("secrets" in outputs and "secret_versions" in outputs)

    def stored_values(self) -> SecretValues:
        """Read the live secrets; raises ``Refused``, also before the first deployment."""
        if self.is_first:
            raise Refused(f"{self._environment.name} is not deployed yet: make deploy comes first.")
        return secret_values.stored_values(self._environment.project, self.outputs())

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
        self._outputs = None

    def make_agents(self, enabled: Collection[str]) -> None:
        """Have Google make its agents that are granted rights: a new project has none yet.

        Terraform's resource for it is in the beta provider only. A failure is told, not raised: the
        agents may be there.
        """
        services = ["pubsub.googleapis.com"]
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
        """Take over what an earlier destroy kept, as far as it is there."""
        known = self._terraform.ask("state", "list").out.split()
        terraform = self._terraform.with_environ(values.environ)
        for address, resource_id in self._environment.kept.items():
            if address in known:
                continue
            answer = terraform.ask(
                "import", "-input=false", *self._inputs(package), address, resource_id
            )
            print(f"{resource_id}: {answer.complaint if answer.code else 'taken over'}")

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
            "- Mavi goes on posting to the old URL: take it out of its console.",
        ]
        return "\n".join(lines)

    def destroy(self, package: Path) -> None:
        """Take everything down but what is kept; raises ``StepFailed``."""
        values = secret_values.placeholders(self.outputs())
        if self._environment.keeps_data:
            # The database abandons itself, by its deletion_policy; what else is kept can't.
            known = self._terraform.ask("state", "list").out.split()
            left = [each for each in self._environment.kept if each in known and each != DATABASE]
            if left:
                self._terraform.show("state", "rm", *left, hint="Nothing was destroyed.")
        self._terraform.with_environ(values.environ).show(
            *("destroy", "-input=false", "-auto-approve", *self._inputs(package)),
            hint="Run make destroy again: it goes on from there.",
        )
        if self._environment.keeps_data:
            print("make deploy ADOPT=1 takes over what was kept.")

    def callback_url(self) -> str:
        """Return the callback URL with its newest token; raises ``Refused``."""
        token = self.stored_values().tokens[0]
        return f"{self.outputs()['callback_url']['value']}/{token}"

    def _inputs(self, package: Path) -> list[str]:
        # Relative, so that the plan is the same on every machine.
        relative = os.path.relpath(package, self._infra)
        return [f"-var-file={self._environment.var_file.name}", f"-var=package={relative}"]
