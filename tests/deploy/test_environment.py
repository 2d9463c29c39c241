"""A file of variables is read as Terraform reads it, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.deploy.environment import Environment, load_environment
from cli.deploy.errors import Refused
from tests.deploy.conftest import ROOT


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "infra" / "variables.tf", tmp_path)
    return tmp_path


def load(infra: Path, text: str) -> Environment:
    (infra / "production.tfvars").write_text(text)
    return load_environment(infra, "production")


def test_load_environment_reads_only_top_level_values(infra: Path) -> None:
    """Comments and values inside of maps are no variables; indented ones are."""
    environment = load(
        infra,
        """\
/* project = "commented-out"
name = "old"
*/
  project = "acme-media-1" // the newest
// region = "europe-west1"
  deletion_protection = false # may go
function_sizes = {
  callback = { memory = "1Gi" }
  submit = {
    name = "nested"
    database = "nested"
  }
}
uploaders = [
  "user:ada@example.com", # kms_key = "x"
]
""",
    )
    assert environment == Environment(
        name="production",
        var_file=infra / "production.tfvars",
        project="acme-media-1",
        prefix="transcripts",
        region="us-central1",
        database="transcripts",
        keeps_data=False,
        key=None,
        unset_access=("submit_callers", "results_callers"),
    )


def test_load_environment_treats_null_as_unset(infra: Path) -> None:
    """A byte order mark and Windows line ends make no difference."""
    text = '\ufeffproject = "acme-media-1"\r\nname = "x-y-z"\r\nkms_key = null\r\nregion = null\r\n'
    environment = load(infra, text)
    assert (environment.prefix, environment.region) == ("x-y-z", "us-central1")
    assert environment.database == "x-y-z"
    assert environment.key is None
    assert environment.keeps_data


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('deletion_protection = "false"', 'to "false"; it takes true or false'),
        ("deletion_protection = 0", "to 0; it takes true or false"),
        ("deletion_protection = null", "to null; it takes true or false"),
        ("deletion_protection = no", "it takes true or false"),
        ("region = us-east1", "it takes a string"),
        ("region = 5", "it takes a string"),
        ('region = "${var.place}"', "it takes a string"),
        ("region =", "line 2 cannot be read"),
        ("region: us-east1", "line 2 cannot be read"),
        ('function_sizes = { submit = { memory = "1Gi" }', "cannot be read"),
        ('name = "open', "cannot be read"),
        ("database = <<END\nmine", "cannot be read"),
        ('variable "name" {}', "sets variable, which no file in infra/ declares"),
    ],
)
def test_load_environment_of_malformed_file_refuses(line: str, sentence: str, infra: Path) -> None:
    """The message is one sentence that names the file."""
    with pytest.raises(Refused) as refused:
        load(infra, f'project = "acme-media-1"\n{line}\n')
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("infra/production.tfvars ")
    assert "\n" not in str(refused.value)


def test_load_environment_of_binary_file_refuses(infra: Path) -> None:
    """The message is the same sentence."""
    (infra / "production.tfvars").write_bytes(b'project = "\xff\xfe"\n')
    with pytest.raises(Refused, match="cannot be read"):
        load_environment(infra, "production")


def test_load_environment_with_unreadable_other_file_refuses(infra: Path) -> None:
    """The other file may name the same project and prefix."""
    (infra / "staging.tfvars").write_text("project =\n")
    with pytest.raises(Refused, match=r"infra/staging\.tfvars line 1 cannot be read"):
        load(infra, 'project = "acme-media-1"\n')


def test_load_environment_with_same_project_and_name_refuses(infra: Path) -> None:
    """Formatting makes no difference: two environments would manage the same resources."""
    (infra / "staging.tfvars").write_text('  project = "acme-media-1"\n  name = "transcripts"\n')
    with pytest.raises(Refused, match="has the same project and name"):
        load(infra, 'project = "acme-media-1" # name = "other"\n')
