"""A gcloud and a terraform that record every call and give prepared answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SCRIPT: Final = """\
#!{python} -IS
import json, os, re, sys
folder = {folder!r}
name = os.path.basename(sys.argv[0])
words = [word for word in sys.argv[1:] if not word.startswith("-chdir=")]
chdir = [word for word in sys.argv[1:] if word.startswith("-chdir=")]
environ = {{key: value for key, value in os.environ.items() if key.startswith("TF_")}}
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps({{"words": [name, *words], "chdir": chdir, "environ": environ}}) + "\\n")
text = " ".join([name, *words])

# The real terraform would report wrong or missing ephemeral values too late.
values = {{key: environ.get(key) for key in {ephemeral!r}}}
if name == "terraform" and words[0] in ("plan", "apply", "import", "destroy"):
    missing = [key for key, value in values.items() if not value]
    if missing:
        sys.exit("fake: " + text + " without " + ", ".join(missing))
    if environ.get("TF_IN_AUTOMATION") != "1":
        sys.exit("fake: " + text + " without TF_IN_AUTOMATION")
planned = folder + "/planned"
if text.startswith("terraform plan"):
    out = [word.removeprefix("-out=") for word in words if word.startswith("-out=")]
    with open(planned, "w") as file:
        json.dump([out, values], file)
if text.startswith("terraform apply"):
    if not os.path.exists(planned):
        sys.exit("fake: nothing was planned")
    with open(planned) as file:
        if json.load(file) != [words[-1:], values]:
            sys.exit("fake: what is applied is not what was planned")
with open(folder + "/answers") as answers:
    for start, code, out, once_applied in reversed(json.load(answers)):
        if once_applied and not os.path.exists(folder + "/applied"):
            continue
        if text.startswith(start):
            if text.startswith("terraform apply") and not code:
                open(folder + "/applied", "w").close()
            if "-no-color" in words:
                out = re.sub(r"\\x1b\\[[0-9;]*m", "", out)
            print(out, file=sys.stderr if code else sys.stdout)
            sys.exit(code)
sys.exit("fake: no answer is prepared for " + text)
"""
EPHEMERAL: Final = (
    "TF_VAR_mavi_api_key",
    "TF_VAR_callback_tokens",
    "TF_VAR_mavi_api_key_version",
    "TF_VAR_callback_tokens_version",
)

PROJECT: Final = "acme-media-1"
KEY: Final = "live-key-of-the-account"
TOKEN: Final = "live-token-live-token-live-token-live-token"
KMS_KEY: Final = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
VERSIONS: Final = {"mavi_api_key": 3, "callback_tokens": 5}
OUTPUTS: Final[Mapping[str, Any]] = {
    "callback_url": "https://transcripts-callback-1.us-central1.run.app"
}
RESOURCES: Final[Mapping[str, Mapping[str, Any]]] = {
    "google_storage_bucket.uploads": {"force_destroy": False},
    "google_pubsub_topic.this": {},
    **{
        f"google_secret_manager_secret_version.{name}": {"secret_data_wo_version": number}
        for name, number in VERSIONS.items()
    },
}


def state(
    resources: Mapping[str, Mapping[str, Any]] = RESOURCES, outputs: Mapping[str, Any] = OUTPUTS
) -> str:
    """Return the output of ``terraform show -json`` for some resources and outputs."""
    return json.dumps(
        {
            "format_version": "1.0",
            "values": {
                "outputs": {name: {"value": value} for name, value in outputs.items()},
                "root_module": {
                    "resources": [
                        {"address": address, "values": values}
                        for address, values in resources.items()
                    ]
                },
            },
        }
    )


def framed(summary: str, *detail: str) -> str:
    """Return an error as Terraform prints it: in colors, in a frame, with a reset at the end."""
    lines = [
        "\x1b[31m\x1b[31m╷\x1b[0m\x1b[0m",
        f"\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[31mError: \x1b[0m\x1b[0m\x1b[1m{summary}\x1b[0m",
        *(f"\x1b[31m│\x1b[0m \x1b[0m{line}" for line in ("", *detail)),
        "\x1b[31m╵\x1b[0m\x1b[0m",
        "\x1b[0m\x1b[0m",
    ]
    return "\n".join(lines)


HEALTHY: Final = (
    ("terraform version", 0, '{"terraform_version": "1.11.4"}'),
    ("terraform init", 0, ""),
    ("terraform workspace select", 0, ""),
    ("terraform show -json", 0, state()),
    ("terraform plan", 0, "the plan"),
    ("terraform apply", 0, "applied"),
    ("terraform destroy", 0, "destroyed"),
    ("terraform import", 0, "imported"),
    ("terraform state rm", 0, ""),
    ("gcloud auth list", 0, "ada@example.com"),
    ("gcloud auth application-default print-access-token", 0, "made-up"),
    ("gcloud projects describe", 0, "ACTIVE"),
    ("gcloud billing projects describe", 0, "True"),
    (
        "gcloud services list",
        0,
        "cloudresourcemanager.googleapis.com\nserviceusage.googleapis.com\nstorage.googleapis.com",
    ),
    ("gcloud services enable", 0, ""),
    ("gcloud beta services identity create", 0, ""),
    ("gcloud secrets versions access latest --secret=transcripts-mavi-api-key", 0, KEY),
    ("gcloud secrets versions access latest --secret=transcripts-callback-tokens", 0, TOKEN),
)
READING: Final = (
    "terraform version",
    "terraform init",
    "terraform workspace select",
    "terraform show",
    "terraform plan",
    "gcloud auth",
    "gcloud projects describe",
    "gcloud billing projects describe",
    "gcloud services list",
    "gcloud secrets versions access",
)
"""Commands that change nothing in the cloud; every other command does."""


@dataclass(frozen=True)
class Call:
    """One call of a program, with the variables that Terraform found in its environment."""

    text: str
    environ: dict[str, str]
    chdir: list[str]

    @property
    def values(self) -> dict[str, str]:
        """The Terraform variables of the environment."""
        return {k: v for k, v in self.environ.items() if k.startswith("TF_VAR_")}


@dataclass
class FakePrograms:
    """Stands in for both programs; the last matching answer counts."""

    folder: Path
    answers: list[tuple[str, int, str, bool]] = field(
        default_factory=lambda: [(*answer, False) for answer in HEALTHY]
    )

    def install(self, names: Iterable[str] = ("gcloud", "terraform")) -> str:
        """Put the programs into a folder, and return the PATH that leads to them alone."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        for name in names:
            program = bin_folder / name
            script = SCRIPT.format(
                python=sys.executable, folder=str(self.folder), ephemeral=EPHEMERAL
            )
            program.write_text(script)
            program.chmod(0o755)
        self._save()
        return str(bin_folder)

    def answer(
        self, start: str, out: str = "", code: int = 0, *, once_applied: bool = False
    ) -> None:
        """Give this answer to every call that starts so; ``once_applied`` only after an apply."""
        self.answers.append((start, code, out, once_applied))
        self._save()

    @property
    def calls(self) -> list[Call]:
        """Every call, in order."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        read = [json.loads(line) for line in lines]
        return [Call(" ".join(c["words"]), c["environ"], c["chdir"]) for c in read]

    def calls_of(self, start: str) -> list[Call]:
        """Every call that starts so."""
        return [call for call in self.calls if call.text.startswith(start)]

    @property
    def changes(self) -> list[str]:
        """Every call that would have changed something in the cloud or in the state, in order."""
        return [call.text for call in self.calls if not call.text.startswith(READING)]

    def forget(self) -> None:
        """Forget every call, and that something was planned or applied."""
        for name in ("calls", "planned", "applied"):
            (self.folder / name).unlink(missing_ok=True)

    def _save(self) -> None:
        (self.folder / "answers").write_text(json.dumps(self.answers))
