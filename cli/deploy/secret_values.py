"""The two secrets on their way: from the user or Secret Manager to Terraform's ephemeral variables.

They travel in the environment of terraform and on the standard output of gcloud, never in
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
"""What Terraform calls them: the variable of each, and the version that holds it."""

TOKEN_BYTES: Final = 32
PLACEHOLDER: Final = "nobody-reads-this-value-in-a-plan-0"

_API_KEY_FORM: Final = re.compile(r"[!-~]{8,512}")


@dataclass(frozen=True)
class SecretValues:
    """Both values, and how often each was written. No repr shows a value."""

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
    """Return what Secret Manager calls one, as ``infra/secrets.tf`` names it."""
    return f"{prefix}-{name.replace('_', '-')}"


def new_token() -> str:
    """Return a token nobody guesses: 43 characters that a URL takes as they are."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def placeholders(written: Mapping[str, int]) -> SecretValues:
    """Return what a plan is made with: it holds no value, so none is needed."""
    return _versioned(SecretValues(PLACEHOLDER, (PLACEHOLDER,)), written)


def stored_or_first(
    project: str, prefix: str, written: Mapping[str, int], given_api_key: Callable[[], str]
) -> SecretValues:
    """Read from Secret Manager what was written; of what was not, take the key and make a token.

    One may be there without the other: an apply can fail between them. What is there stays, since
    Terraform writes a value only with another version. Raises ``Refused``.
    """
    return _versioned(
        SecretValues(
            _read(project, secret_id(prefix, API_KEY))
            if API_KEY in written
            else checked_api_key(given_api_key()),
            _read(project, secret_id(prefix, TOKENS)).split(",")
            if TOKENS in written
            else (new_token(),),
        ),
        written,
    )


def with_api_key(values: SecretValues, api_key: str) -> SecretValues:
    """Replace the API key; raises ``Refused`` if it is none, or the same."""
    if checked_api_key(api_key) == values.api_key:
        raise Refused("That is the key that is stored already.")
    return replace(values, api_key=api_key, api_key_version=values.api_key_version + 1)


def with_new_token(values: SecretValues) -> SecretValues:
    """Add a token in front of the live one; raises ``Refused`` in the middle of a rotation."""
    if len(values.tokens) > 1:
        raise Refused(
            "Two tokens are live: a rotation is under way. Once the new URL (make callback-url) is "
            "in Mavi's console, end the old token: make rotate-token RETIRE=1"
        )
    tokens = (new_token(), *values.tokens)
    return replace(values, tokens=tokens, tokens_version=values.tokens_version + 1)


def without_old_token(values: SecretValues) -> SecretValues:
    """Keep the newest token only; raises ``Refused`` if there is but one."""
    if len(values.tokens) == 1:
        raise Refused("Only one token is live. A rotation begins with: make rotate-token")
    return replace(values, tokens=values.tokens[:1], tokens_version=values.tokens_version + 1)


def checked_api_key(api_key: str) -> str:
    """Return the key; raises ``Refused``, without showing it, if it can't be one."""
    if not _API_KEY_FORM.fullmatch(api_key):
        raise Refused(
            "MAVI_API_KEY is no key: at least 8 printable characters without spaces are needed, "
            "and no Bearer in front."
        )
    return api_key


def _versioned(values: SecretValues, written: Mapping[str, int]) -> SecretValues:
    return replace(
        values,
        api_key_version=written.get(API_KEY, 1),
        tokens_version=written.get(TOKENS, 1),
    )


def _read(project: str, secret_id: str) -> str:
    answer = gcloud(
        *("secrets", "versions", "access", "latest"),
        *(f"--secret={secret_id}", f"--project={project}"),
    )
    if answer.code or not answer.out.strip():
        raise Refused(
            f"Secret {secret_id} can't be read: {answer.complaint} "
            "You need roles/secretmanager.secretAccessor on it."
        )
    return answer.out.strip()
