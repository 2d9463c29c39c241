"""The two secrets, from the user or Secret Manager to Terraform's ephemeral variables.

They are passed in the environment of terraform and on the standard output of gcloud, never in
arguments, files, plan or state.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cli.deploy.errors import Refused
from cli.deploy.programs import gcloud

API_KEY: Final = "mavi_api_key"
TOKENS: Final = "callback_tokens"
NAMES: Final = frozenset({API_KEY, TOKENS})
"""Their names in Terraform: of the variable, and of the version resource."""

TOKEN_BYTES: Final = 32
PLACEHOLDER: Final = "placeholder-that-is-never-stored-00"

_API_KEY_FORM: Final = re.compile(r"[!-~]{8,512}")


@dataclass(frozen=True)
class SecretValues:
    """Both values and the number of each version. The repr hides the values."""

    api_key: str
    tokens: Sequence[str]
    api_key_version: int = 1
    tokens_version: int = 1

    def __repr__(self) -> str:
        """Hide the values."""
        return f"SecretValues(api_key_version={self.api_key_version}, tokens_version=…)"

    @property
    def environ(self) -> dict[str, str]:
        """Terraform's variables."""
        return {
            "TF_VAR_mavi_api_key": self.api_key,
            "TF_VAR_callback_tokens": ",".join(self.tokens),
            "TF_VAR_mavi_api_key_version": str(self.api_key_version),
            "TF_VAR_callback_tokens_version": str(self.tokens_version),
        }


def secret_id(prefix: str, name: str) -> str:
    """Return the id in Secret Manager, as in ``infra/secrets.tf``."""
    return f"{prefix}-{name.replace('_', '-')}"


def new_token() -> str:
    """Return a random token of 43 URL-safe characters."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def placeholders(written: Mapping[str, int]) -> SecretValues:
    """Return values for a plan, which stores none."""
    return _versioned(SecretValues(PLACEHOLDER, (PLACEHOLDER,)), written)


def stored_or_first(
    project: str, prefix: str, written: Mapping[str, int], given_api_key: Callable[[], str]
) -> SecretValues:
    """Read the stored secrets; for a missing one, take the given key or create a token.

    A failed apply may have stored one without the other. A stored secret stays, because Terraform
    stores a value only under another version number. Raises ``Refused``.
    """
    return _versioned(
        SecretValues(
            read_secret(project, secret_id(prefix, API_KEY))
            if API_KEY in written
            else checked_api_key(given_api_key()),
            read_secret(project, secret_id(prefix, TOKENS)).split(",")
            if TOKENS in written
            else (new_token(),),
        ),
        written,
    )


def with_api_key(values: SecretValues, api_key: str) -> SecretValues:
    """Replace the API key; raises ``Refused`` if it is malformed or the stored one."""
    if checked_api_key(api_key) == values.api_key:
        raise Refused("This key is stored already.")
    return replace(values, api_key=api_key, api_key_version=values.api_key_version + 1)


def with_new_token(values: SecretValues) -> SecretValues:
    """Put a new token before the live one; raises ``Refused`` during a rotation."""
    if len(values.tokens) > 1:
        raise Refused(
            "Two tokens are live: a rotation is in progress. Once the new URL (make callback-url) "
            "is in Mavi's console, remove the old token: make rotate-token RETIRE=1"
        )
    tokens = (new_token(), *values.tokens)
    return replace(values, tokens=tokens, tokens_version=values.tokens_version + 1)


def without_old_token(values: SecretValues) -> SecretValues:
    """Keep the newest token only; raises ``Refused`` if there is only one."""
    if len(values.tokens) == 1:
        raise Refused("Only one token is live. To start a rotation, run: make rotate-token")
    return replace(values, tokens=values.tokens[:1], tokens_version=values.tokens_version + 1)


def checked_api_key(api_key: str) -> str:
    """Return the key; raises ``Refused``, without showing the key, if it is malformed."""
    if not _API_KEY_FORM.fullmatch(api_key):
        raise Refused(
            "MAVI_API_KEY is malformed: it needs 8 to 512 printable ASCII characters without "
            "spaces, and no Bearer before them."
        )
    return api_key


def _versioned(values: SecretValues, written: Mapping[str, int]) -> SecretValues:
    return replace(
        values,
        api_key_version=written.get(API_KEY, 1),
        tokens_version=written.get(TOKENS, 1),
    )


def read_secret(project: str, secret_id: str) -> str:
    """Return the newest value of a secret; raises ``Refused``."""
    answer = gcloud(
        *("secrets", "versions", "access", "latest"),
        *(f"--secret={secret_id}", f"--project={project}"),
    )
    if answer.code or not answer.out.strip():
        raise Refused(
            f"Secret {secret_id} cannot be read: {answer.error_message} "
            "You need roles/secretmanager.secretAccessor on it."
        )
    return answer.out.strip()
