"""The variables of an environment, kept beside its state for whoever deploys next.

git ignores ``infra/NAME.tfvars``. A deployment whose state is in a bucket copies the file there;
``make fetch-variables`` gets it on another machine. The bucket keeps earlier versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hcl2.api import loads

from cli.deploy.environment import NAME
from cli.deploy.errors import Refused
from cli.deploy.programs import gcloud


def shared_address(infra: Path, name: str) -> str | None:
    """Return where the file of an environment is kept; None while the state is on this machine."""
    path = infra / "backend.tf"
    if not path.is_file():
        return None
    blocks: Any = loads(path.read_text()).get("terraform", [])
    for block in blocks:
        for backend in block.get("backend", []):
            if "gcs" in backend:
                settings = backend["gcs"]
                folder = "/".join(filter(None, (settings["bucket"], settings.get("prefix", ""))))
                return f"gs://{folder.rstrip('/')}/{name}.tfvars"
    return None


def share(infra: Path, name: str) -> None:
    """Copy the file beside the state; a failure is printed, since the deployment itself is done."""
    address = shared_address(infra, name)
    if address is None:
        return
    answer = gcloud("storage", "cp", str(infra / f"{name}.tfvars"), address)
    if answer.code:
        print(f"infra/{name}.tfvars could not be copied to {address}: {answer.error_message}")
    else:
        print(f"infra/{name}.tfvars is kept at {address}")


def fetch(infra: Path, name: str) -> Path:
    """Get the file that the last deployment left; raises ``Refused``."""
    if not NAME.fullmatch(name):
        raise Refused(f"ENV={name} is not a valid name.")
    address = shared_address(infra, name)
    if address is None:
        raise Refused(
            "infra/backend.tf is missing, or names no bucket: it says where the state is. Get it"
            " from whoever has deployed; infra/backend.tf.example shows its form."
        )
    path = infra / f"{name}.tfvars"
    if path.exists():
        raise Refused(f"infra/{path.name} is there already. Rename it, then compare both.")
    answer = gcloud("storage", "cp", address, str(path))
    if answer.code:
        raise Refused(f"{address} cannot be read: {answer.error_message}")
    return path
