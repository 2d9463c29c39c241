"""Each policy holds for every use of the configuration, and for all other user settings."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any, Final

import pytest

from cli.commands.smoke_cloud import EXPIRING, PUBLISHERS
from cli.deploy.deployment import KEPT_SETTINGS, SHARED_GRANTS
from cli.deploy.environment import GIVEN_BY_MAKE, load_environment
from cli.deploy.secret_values import NAMES, secret_id
from cli.deploy.state import BUCKET, DATABASE, SECRET_VERSION
from tests.infra import (
    access_policies,
    alert_policies,
    function_policies,
    messaging_policies,
    metric_policies,
    storage_policies,
    structure_policies,
)
from tests.infra.plan import Plan, Policy
from tests.infra.sandbox import (
    API_KEY,
    INFRA,
    TOKENS,
    TerraformFailed,
    plan_of,
    planned,
    skip_without_account,
    terraform_sandbox,
)
from tests.infra.uses import DISTINCT, KMS_KEY, USES

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(300)]

POLICIES: Final[tuple[Policy, ...]] = (
    *access_policies.POLICIES,
    *messaging_policies.POLICIES,
    *function_policies.POLICIES,
    *storage_policies.POLICIES,
    *alert_policies.POLICIES,
    *metric_policies.POLICIES,
    *structure_policies.POLICIES,
)


@pytest.mark.parametrize("use", USES)
def test_policies_of_every_use_hold(use: str) -> None:
    """The rule in the docstring of each policy holds for every use."""
    plan = plan_of(use)
    faults = {policy.__name__: list(policy(plan)) for policy in POLICIES}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {use: plan_of(use) for use in USES}


def names(plan: Plan) -> set[tuple[str, str]]:
    """Return the name of everything that has to have one, without the project before it."""
    shared = (
        *("google_project_service", "google_project_iam_member", "terraform_data"),
        "google_storage_bucket_object",  # each is in a bucket of its own environment
    )
    return {
        (resource.type, str(resource[field]).removeprefix(f"{plan.project}-"))
        for resource in plan.resources
        if resource.type not in shared
        for field in ("name", "account_id", "secret_id", "repository_id")
        if resource[field]
    }


def test_two_environments_in_one_project_share_nothing(plans: dict[str, Plan]) -> None:
    """No name is used twice on any type, and no grant but those on a shared key.

    A destroy of one environment leaves these: they are in SHARED_GRANTS.
    """
    one = plans["distinct"]
    other = planned({**DISTINCT, "name": "stg-all-2", "database": None})
    assert not names(other) & names(one)
    shared = set(other.grants) & set(one.grants)
    assert {(grant.kind, grant.target) for grant in shared} == {("kms_crypto_key", KMS_KEY)}
    addresses = {
        resource.name
        for resource in one.all("kms_crypto_key_iam_member")
        if resource["member"] in {grant.member for grant in shared}
    }
    assert addresses == {*SHARED_GRANTS}


def test_names_of_one_environment_never_begin_names_of_another(plans: dict[str, Plan]) -> None:
    """Of x and x-y in one project only y = to would collide, and that is refused."""
    plan = plans["distinct"]
    found: dict[str, set[str]] = {}
    for kind, name in names(plan):
        found.setdefault(kind, set()).add(name.removeprefix(f"{plan.prefix}-"))
    colliding = {
        longer.removesuffix(f"-{shorter}")
        for suffixes in found.values()
        for longer in suffixes
        for shorter in suffixes
        if longer.endswith(f"-{shorter}")
    }
    assert colliding == {"to"}


def test_kept_addresses_of_make_match_the_plan(plans: dict[str, Plan], tmp_path: Path) -> None:
    """Else a destroy would forget the wrong resources, and nothing could be imported again."""
    shutil.copy(INFRA / "variables.tf", tmp_path)
    for plan in plans.values():
        given = {name: plan.variable(name) for name in ("project", "name", "region", "database")}
        lines = [f'{name} = "{value}"' for name, value in given.items() if value]
        (tmp_path / "production.tfvars").write_text(
            "\n".join(lines).replace("my-project-123", "p9")
        )
        kept = load_environment(tmp_path, "production").kept
        for address, resource_id in kept.items():
            (resource,) = (item for item in plan.resources if item.address == address)
            name = str(resource["name"]).replace("my-project-123", "p9")
            assert resource_id.endswith(f"/{name}")
        assert f"/locations/{plan.region}/" in kept["google_cloud_tasks_queue.submissions"]
        assert {DATABASE, BUCKET} <= kept.keys()
        assert plan.source.resources.keys() >= {*kept, *KEPT_SETTINGS, *SHARED_GRANTS}


def test_secret_names_of_make_match_the_plan(plans: dict[str, Plan]) -> None:
    """Else make would take a stored secret for a missing one, or read another one."""
    for plan in plans.values():
        secrets = {resource["secret_id"] for resource in plan.all("secret_manager_secret")}
        assert secrets == {secret_id(plan.prefix, name) for name in NAMES}
        assert plan.source.resources.keys() >= {f"{SECRET_VERSION}{name}" for name in NAMES}


def test_smoke_checks_what_is_deployed(plans: dict[str, Plan]) -> None:
    """It asks for the expiry of every collection group, and for the right of every publisher."""
    plan = plans["distinct"]
    groups = {field["collection"] for field in plan.all("firestore_field") if field["ttl_config"]}
    assert set(EXPIRING) == groups
    granted = {
        (grant.target.rpartition("/")[2], grant.member)
        for grant in plan.grants
        if grant.role == "roles/pubsub.publisher"
        if grant.member.startswith(f"serviceAccount:{plan.prefix}-")
    }
    assert granted == {
        (f"{plan.prefix}-{topic}", f"serviceAccount:{plan.account(name)}")
        for topic, names in PUBLISHERS.items()
        for name in names
    }


def test_secrets_in_plan_file_and_state_are_absent() -> None:
    """Neither the saved plan nor the state after an apply holds a secret's value."""
    sandbox = terraform_sandbox().copy()
    planned({}, sandbox)
    with zipfile.ZipFile(sandbox.folder / "test.tfplan") as saved:
        content = b"".join(saved.read(name) for name in saved.namelist())
    state = sandbox.apply()
    for value in (API_KEY, TOKENS):
        assert value.encode() not in content
        assert value not in state
    assert '"secret_data_wo_version": 1' in state


def test_example_variables_equal_the_defaults_but_for_project_and_cap(
    plans: dict[str, Plan],
) -> None:
    """A copy of the example has the safe defaults, and a sensible spend cap above 0."""
    example, default = plans["example"], plans["default"]
    differing = {
        name
        for name in default.source.labelled("variable")
        if example.variable(name) != default.variable(name) and name not in GIVEN_BY_MAKE
    }
    assert differing == {"project", "max_submissions_per_day"}
    # 1,000 files of an hour cost 6,000 dollars a day at Mavi.
    assert 0 < example.variable("max_submissions_per_day") <= 1000


FURTHER: Final = """
    archive = {
      called_by     = "callers"
      callers       = var.submit_callers
      ingress       = "ALLOW_ALL"
      database      = "user"
      queue         = false
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = true
      publishes     = { RESULTS_TOPIC = "results" }
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      size          = merge({ cpu = "1", memory = "256Mi", concurrency = 40, timeout_s = 60 }, {
        min_instances = 0
        max_instances = 5
      })
    }
"""


def test_further_function_in_the_table_gets_everything_it_needs(plans: dict[str, Plan]) -> None:
    """Identity, rights, URL and variables follow from one entry; no other right is added."""
    sandbox = terraform_sandbox().copy()
    path = sandbox.folder / "functions.tf"
    start = "  functions = {\n"
    path.write_text(path.read_text().replace(start, start + FURTHER, 1))
    before = plans["distinct"]
    sizes = {**DISTINCT["function_sizes"], "archive": {"max_instances": 2}}
    after = planned({**DISTINCT, "function_sizes": sizes}, sandbox)
    assert set(after.functions) == {*before.functions, "archive"}
    assert after.service("archive")["max_instance_count"] == 2
    assert after.service("archive")["direct_vpc_egress"] == "VPC_EGRESS_ALL_TRAFFIC"
    assert set(after.service("archive")["environment_variables"]) == {
        *("TRANSCRIPTS_BACKEND", "GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE"),
        *("RETENTION_DAYS", "RESULTS_TOPIC"),
    }
    added = {(g.member, g.role) for g in set(after.grants) - set(before.grants)}
    own = f"serviceAccount:{after.account('archive')}"
    assert added == {
        ("user:ada@example.com", "roles/run.invoker"),
        (own, "roles/datastore.user"),
        (own, "roles/pubsub.publisher"),
        (own, "roles/secretmanager.secretAccessor"),
    }
    assert set(before.grants) <= set(after.grants)


def refusal(variables: dict[str, Any]) -> str:
    with pytest.raises(TerraformFailed) as refused:
        terraform_sandbox().plan(variables)
    skip_without_account(str(refused.value))
    return " ".join(str(refused.value).replace("│", " ").split())
