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


def test_what_is_read(infra: Path) -> None:
    """Indented, in comments, and inside of maps: only what Terraform would take for a variable."""
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
    )


def test_null_is_as_good_as_nothing(infra: Path) -> None:
    """And what an editor of Windows leaves in a file does not matter."""
    text = '\ufeffproject = "acme-media-1"\r\nname = "x-y-z"\r\nkms_key = null\r\nregion = null\r\n'
    environment = load(infra, text)
    assert (environment.prefix, environment.region) == ("x-y-z", "us-central1")
    assert environment.database == "x-y-z"
    assert environment.key is None
    assert environment.keeps_data


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('deletion_protection = "false"', 'to "false"; it takes true or false, bare'),
        ("deletion_protection = 0", "to 0; it takes true or false, bare"),
        ("deletion_protection = null", "to null; it takes true or false, bare"),
        ("deletion_protection = no", "it takes true or false, bare"),
        ("region = us-east1", "it takes a text"),
        ("region = 5", "it takes a text"),
        ('region = "${var.place}"', "it takes a text"),
        ("region =", "line 2 can't be read"),
        ("region: us-east1", "line 2 can't be read"),
        ('function_sizes = { submit = { memory = "1Gi" }', "can't be read"),
        ('name = "open', "can't be read"),
        ("database = <<END\nmine", "can't be read"),
        ('variable "name" {}', "sets variable, which infra/variables.tf does not have"),
    ],
)
def test_what_is_refused(line: str, sentence: str, infra: Path) -> None:
    """In one sentence that names the file."""
    with pytest.raises(Refused) as refused:
        load(infra, f'project = "acme-media-1"\n{line}\n')
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("infra/production.tfvars ")
    assert "\n" not in str(refused.value)


def test_what_is_no_text_at_all_is_refused(infra: Path) -> None:
    """It may be anything."""
    (infra / "production.tfvars").write_bytes(b'project = "\xff\xfe"\n')
    with pytest.raises(Refused, match="can't be read"):
        load_environment(infra, "production")


def test_a_neighbour_that_cannot_be_read_is_refused_too(infra: Path) -> None:
    """It may be about the same resources."""
    (infra / "staging.tfvars").write_text("project =\n")
    with pytest.raises(Refused, match=r"infra/staging\.tfvars line 1 can't be read"):
        load(infra, 'project = "acme-media-1"\n')


def test_a_neighbour_is_the_same_however_it_is_written(infra: Path) -> None:
    """Else two environments would fight."""
    (infra / "staging.tfvars").write_text('  project = "acme-media-1"\n  name = "transcripts"\n')
    with pytest.raises(Refused, match="has the same project and name"):
        load(infra, 'project = "acme-media-1" # name = "other"\n')
