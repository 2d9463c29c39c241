"""Each promise of the rules holds, however the configuration is used."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.deploy.deployment import KEPT_SETTINGS, SHARED_GRANTS
from cli.deploy.environment import load_environment
from cli.deploy.secret_values import NAMES, secret_id
from cli.deploy.state import BUCKET, DATABASE, SECRET_VERSION
from tests.infra import alert_rules, data_rules, function_rules, identity_rules, message_rules
from tests.infra.plan import Plan, Rule
from tests.infra.workbench import (
    API_KEY,
    EVERYTHING,
    INFRA,
    TOKENS,
    TerraformFailed,
    Workbench,
    workbench,
)
from transcripts.settings import MAX_RETENTION_DAYS

pytestmark = pytest.mark.terraform

RULES: tuple[Rule, ...] = (
    *identity_rules.RULES,
    *message_rules.RULES,
    *function_rules.RULES,
    *data_rules.RULES,
    *alert_rules.RULES,
)
USES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "unprotected": {
        "region": "europe-west1",
        "firestore_location": "eur3",
        "deletion_protection": False,
        "database": "(default)",
        "replay_days": 31,
    },
}


def ready() -> Workbench:
    bench = workbench()
    assert isinstance(bench, Workbench), bench
    return bench


def planned(variables: Mapping[str, Any], bench: Workbench | None = None) -> Plan:
    """Plan; where that needs an account and none is required, skip."""
    try:
        return (bench or ready()).plan(variables)
    except TerraformFailed as error:
        skip_without_account(str(error))
        raise


def skip_without_account(said: str) -> None:
    """Skip if the provider asks for an account, and none is required."""
    if "credentials" in said and os.environ.get("REQUIRE_TERRAFORM") != "1":
        pytest.skip("the real provider plans with an account only")


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    bench = ready()
    return {name: planned(variables, bench) for name, variables in USES.items()}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_promise(rule: Rule, use: str, plans: dict[str, Plan]) -> None:
    """What the rule's docstring says."""
    assert list(rule(plans[use])) == []


SHARED = (
    *("google_project_service", "google_project_iam_member", "terraform_data"),
    "google_storage_bucket_object",  # in a bucket of each
)
"""Types whose names need not tell environments apart."""


def names(plan: Plan) -> set[tuple[str, str]]:
    """Return what everything is called, without the project in front of it."""
    return {
        (resource.type, str(resource[field]).removeprefix(f"{plan.project}-"))
        for resource in plan.resources
        if resource.type not in SHARED
        for field in ("name", "account_id", "secret_id", "repository_id")
        if resource[field]
    }


def test_two_environments_have_nothing_in_common(plans: dict[str, Plan]) -> None:
    """Two of them in one project: no name is taken twice, on no kind of resource.

    Nor is a grant that a destroy of the one would take from the other: it lets go of those.
    """
    one, other = (
        planned({"name": name, "kms_key": KEY}) for name in ("transcripts", "transcripts-stg")
    )
    assert len(names(other)) == len(names(one)) == len(names(plans["default"]))
    assert not names(other) & names(one)
    shared = set(other.grants) & set(one.grants)
    assert {(grant.kind, grant.target) for grant in shared} == {("kms_crypto_key", KEY)}
    addresses = {
        resource.address.split("[")[0]
        for resource in one.all("kms_crypto_key_iam_member")
        if resource["member"] in {grant.member for grant in shared}
    }
    assert addresses == {*SHARED_GRANTS}


def test_no_name_makes_names_of_another(plans: dict[str, Plan]) -> None:
    """Of x and x-y in one project: only y = to would, and that is refused."""
    plan = plans["everything"]
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


def test_what_make_calls_kept_is_called_so_by_terraform(
    plans: dict[str, Plan], tmp_path: Path
) -> None:
    """Else a destroy would let go of the wrong things, and nothing could be adopted."""
    shutil.copy(INFRA / "variables.tf", tmp_path)
    for plan in plans.values():
        given = {name: plan.variable(name) for name in ("project", "name", "region", "database")}
        lines = [f'{name} = "{value}"' for name, value in given.items() if value]
        (tmp_path / "production.tfvars").write_text("\n".join(lines))
        kept = load_environment(tmp_path, "production").kept
        for address, resource_id in kept.items():
            (resource,) = (item for item in plan.resources if item.address == address)
            assert resource_id.endswith(f"/{resource['name']}")
        assert f"/locations/{plan.region}/" in kept["google_cloud_tasks_queue.submissions"]
        assert {DATABASE, BUCKET} <= kept.keys()
        assert plan.source.keys() >= {*kept, *KEPT_SETTINGS, *SHARED_GRANTS}


def test_what_make_calls_the_secrets_is_called_so_by_terraform(plans: dict[str, Plan]) -> None:
    """Else it would take what is stored for not written, and read from elsewhere."""
    for plan in plans.values():
        secrets = {resource["secret_id"] for resource in plan.all("secret_manager_secret")}
        assert secrets == {secret_id(plan.prefix, name) for name in NAMES}
        assert plan.source.keys() >= {f"{SECRET_VERSION}{name}" for name in NAMES}


def test_no_secret_is_in_plan_file_or_state() -> None:
    """Not even in the state that an apply leaves, nor in the saved plan's own file."""
    bench = ready().copy()
    planned({}, bench)
    with zipfile.ZipFile(bench.folder / "test.tfplan") as saved:
        content = b"".join(saved.read(name) for name in saved.namelist())
    state = bench.apply()
    for value in (API_KEY, TOKENS):
        assert value.encode() not in content
        assert value not in state
    assert '"secret_data_wo_version": 1' in state


BAD: Mapping[str, tuple[Any, str]] = {
    "project": ("My Project", "must be a project id"),
    "package": ("nowhere.zip", "existing zip"),
    "name": ("a-name-that-is-too-long", "4 to 16"),
    "region": ("us-central1-a", "neither a zone"),
    "database": ("No", "(default), or"),
    "mavi_base_url": ("http://mavi.example.com", "https:// address"),
    "mavi_requests_per_second": (0, "more than 0"),
    "max_submissions_per_day": (-1, "max_submissions_per_day must be a whole number"),
    "max_object_bytes": (0, "5 TiB"),
    "overdue_after_minutes": (0, "overdue_after_minutes must be a whole number"),
    "resubmit_overdue": (0.5, "resubmit_overdue must be a whole number"),
    "retention_days": (-1, "must be a whole number, 0 or more"),
    "upload_retention_days": (1, "at least 3"),
    "replay_days": (32, "1 to 31"),
    "max_delivery_attempts": (3, "between 5 and 100"),
    "sweep_schedule": ("0 3 * * *", "every hour"),
    "queue_concurrency": (0, "between 1 and 1000"),
    "submit_callers": (["allUsers"], "submit spends money"),
    "submit_ingress": ("ALL", "must be ALLOW_ALL"),
    "uploaders": (["allAuthenticatedUsers"], "every upload spends money"),
    "alert_email": ("nobody", "e-mail"),
    "callback_tokens_version": (0, "callback_tokens_version must be"),
    "mavi_api_key_version": (1.5, "mavi_api_key_version must be"),
}
BAD_SIZES = {
    "sumbit": ({}, "unknown function"),
    "submit": ({"max_instances": 2}, "submit runs as one instance"),
    "ingest": ({"timeout_s": 600}, "acknowledgement deadline"),
    "callback": ({"memory": "512MB"}, "512Mi or 1Gi"),
    "sweep": ({"max_instances": 0}, "max_instances must be 1 or more"),
}


KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
ALONE: tuple[tuple[Mapping[str, Any], str], ...] = (
    ({"kms_key": "my-key"}, "cryptoKeys"),
    ({"kms_key": KEY, "region": "us-east1"}, "kms_key must be in the region"),
    ({"firestore_location": "everywhere"}, "multi-region such as"),
    ({"kms_key": KEY, "firestore_location": "nam5"}, "one key serves both"),
    ({"kms_key": KEY, "firestore_location": "us-east1"}, "one key serves both"),
    ({"name": "transcripts-to"}, "must not end in -to"),
    ({"function_sizes": {"sweep": {"timeout_s": 14}}}, "at least 15"),
    ({"retention_days": 6}, "what is replayed must still be known"),
    ({"retention_days": MAX_RETENTION_DAYS + 1}, f"at most {MAX_RETENTION_DAYS}"),
)
"""What Terraform looks at only if other variables are good, or a second flaw of one."""


def refusal(variables: Mapping[str, Any]) -> str:
    with pytest.raises(TerraformFailed) as refused:
        ready().plan(variables)
    skip_without_account(str(refused.value))
    return " ".join(str(refused.value).replace("│", " ").split())


RESULTS = """
    results = {
      called_by     = "callers"
      callers       = var.submit_callers
      ingress       = "ALLOW_ALL"
      database      = true
      queue         = false
      reads_uploads = false
      reaches_mavi  = true
      publishes     = []
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      settings      = ["MAVI_BASE_URL"]
      size          = merge({ cpu = "1", memory = "256Mi", concurrency = 40, timeout_s = 60 }, {
        min_instances = 0
        max_instances = 5
      })
    }
"""


def test_a_further_function_is_one_more_entry() -> None:
    """Identity, rights, address and variables follow from it; nobody else may more than before."""
    bench = ready().copy()
    path = bench.folder / "functions.tf"
    start = "  functions = {\n"
    path.write_text(path.read_text().replace(start, start + RESULTS, 1))
    callers = {"submit_callers": ["user:ada@example.com"], "static_ip": True}
    before = planned(callers)
    after = planned({**callers, "function_sizes": {"results": {"max_instances": 2}}}, bench)
    assert set(after.functions) == {*before.functions, "results"}
    assert after.service("results")["max_instance_count"] == 2
    assert after.service("results")["direct_vpc_egress"] == "VPC_EGRESS_ALL_TRAFFIC"
    assert set(after.service("results")["environment_variables"]) == {
        *("TRANSCRIPTS_BACKEND", "GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE"),
        *("RETENTION_DAYS", "MAVI_BASE_URL"),
    }
    added = {(g.member, g.role) for g in set(after.grants) - set(before.grants)}
    own = f"serviceAccount:{after.account('results')}"
    assert added == {
        ("user:ada@example.com", "roles/run.invoker"),
        (own, "roles/datastore.user"),
        (own, "roles/secretmanager.secretAccessor"),
    }
    assert set(before.grants) <= set(after.grants)


def test_every_bad_value_is_refused_at_once() -> None:
    """Each with the sentence that says what is wanted, all in one answer, before any plan."""
    text = refusal({name: value for name, (value, _) in BAD.items()})
    assert [sentence for _, sentence in BAD.values() if sentence not in text] == []


@pytest.mark.parametrize(("variables", "sentence"), ALONE)
def test_a_bad_value_is_refused(variables: Mapping[str, Any], sentence: str) -> None:
    """Each with its sentence, before any plan."""
    assert sentence in refusal(variables)


def test_a_key_may_be_where_the_database_is_said_to_be() -> None:
    """The region, said twice, is no contradiction; nor is the shortest time of sweep."""
    planned(
        {
            "kms_key": KEY,
            "firestore_location": "us-central1",
            "function_sizes": {"sweep": {"timeout_s": 15}},
        }
    )


def test_every_bad_size_is_refused_at_once() -> None:
    """Each with its sentence too."""
    text = refusal({"function_sizes": {name: value for name, (value, _) in BAD_SIZES.items()}})
    assert [sentence for _, sentence in BAD_SIZES.values() if sentence not in text] == []


def test_sizes_that_contradict_each_other_are_refused() -> None:
    """What can be seen only when defaults and overrides are joined."""
    sizes = {"ingest": {"cpu": "0.5"}, "sweep": {"min_instances": 2}}
    text = refusal({"function_sizes": sizes, "queue_concurrency": 80})
    for sentence in ("at least 1 vCPU", "must not be more than max_instances", "locked out"):
        assert sentence in text


def test_every_variable_is_described_and_documented() -> None:
    """Terraform, not only a reader, finds out what a value may be."""
    text = (ready().folder / "variables.tf").read_text()
    blocks = text.split("\nvariable ")[1:]
    assert len(blocks) > 20
    for block in blocks:
        assert "description = " in block
        assert "type " in block
        assert "validation {" in block or "= bool" in block, block.split("{")[0]
