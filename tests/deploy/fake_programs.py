"""A gcloud and a terraform that only write down what they are asked, and say what they are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SCRIPT: Final = """\
#!{python}
import json, os, re, sys
folder = {folder!r}
name = os.path.basename(sys.argv[0])
words = [word for word in sys.argv[1:] if not word.startswith("-chdir=")]
given = {{key: value for key, value in os.environ.items() if key.startswith("TF_VAR_")}}
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps({{"words": [name, *words], "given": given}}) + "\\n")
text = " ".join([name, *words])
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
sys.exit("fake: nobody said what to answer to " + text)
"""

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
    """Return what ``terraform show -json`` says of these."""
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
    """Return an error as Terraform shows it: in colours, in a frame, with a reset at the end."""
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
CHANGING: Final = (
    "terraform apply",
    "terraform destroy",
    "terraform import",
    "terraform state rm",
    "gcloud services enable",
    "gcloud beta",
)


@dataclass(frozen=True)
class Call:
    """What was run, and the variables that Terraform was given in its environment."""

    text: str
    given: dict[str, str]


@dataclass
class FakePrograms:
    """Stands in for both programs; the last matching answer counts."""

    folder: Path
    answers: list[tuple[str, int, str, bool]] = field(
        default_factory=lambda: [(*answer, False) for answer in HEALTHY]
    )

    def install(self, names: Iterable[str] = ("gcloud", "terraform")) -> str:
        """Put them into a folder, and return the PATH that leads to them alone."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        for name in names:
            program = bin_folder / name
            program.write_text(SCRIPT.format(python=sys.executable, folder=str(self.folder)))
            program.chmod(0o755)
        self._save()
        return str(bin_folder)

    def say(self, start: str, out: str = "", code: int = 0, *, once_applied: bool = False) -> None:
        """Answer so to everything that starts so, perhaps only after an apply."""
        self.answers.append((start, code, out, once_applied))
        self._save()

    @property
    def calls(self) -> list[Call]:
        """Everything that was run, in order."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        read = [json.loads(line) for line in lines]
        return [Call(" ".join(call["words"]), call["given"]) for call in read]

    def ran(self, start: str) -> list[Call]:
        """What was run that starts so."""
        return [call for call in self.calls if call.text.startswith(start)]

    @property
    def changes(self) -> list[str]:
        """What would have changed anything in the cloud, in order."""
        return [call.text for call in self.calls if call.text.startswith(CHANGING)]

    def _save(self) -> None:
        (self.folder / "answers").write_text(json.dumps(self.answers))
