"""Signed addresses of Cloud Storage, signed by IAM: an identity of a function has no key.

* the addresses: https://cloud.google.com/storage/docs/access-control/signed-urls
* signing: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property, partial
from typing import Any, Final

import google.auth
import google.auth.transport.requests
from google.auth import iam
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError

from transcripts.errors import ObjectForbidden, ObjectUnavailable
from transcripts.uploads.stored_object import StoredObject

SCOPE: Final = "https://www.googleapis.com/auth/iam"
"""Signing needs this scope, which a token for Cloud Storage does not have."""

TIMEOUT_S: Final = 10.0
ENDPOINT: Final = "https://storage.googleapis.com"
"""The only host beside their own that the pages may read media from."""

_REFUSED: Final = "PERMISSION_DENIED"


class _IamKey(Signing):  # type: ignore[misc] # google-auth has no types
    """Signs as one service account through IAM, which repeats a call that fails for a moment."""

    def __init__(self, request: Any, credentials: Any) -> None:
        self._email: str = credentials.service_account_email
        self._signer = iam.Signer(request, credentials, self._email)

    @property
    def signer_email(self) -> str:
        return self._email

    @property
    def signer(self) -> iam.Signer:
        return self._signer

    def sign_bytes(self, message: bytes) -> bytes:
        signature: bytes = self._signer.sign(message)
        return signature


class CloudStorageSigner:
    """Signs as the identity of this function.

    Tests give other ``credentials`` than the default and another transport for ``request``, both of
    google-auth.
    """

    def __init__(self, credentials: Any = None, request: Any = None) -> None:
        self._credentials = credentials
        self._request = request
        self._key: Any = None

    @cached_property
    def _client(self) -> Any:
        # Its import takes a tenth of a start, and most instances sign nothing.
        from google.cloud import storage

        return storage.Client.create_anonymous_client()

    def sign(self, stored: StoredObject, media_type: str, until: datetime) -> str:
        """Return a V4 signed URL; see ``ports.MediaSigner``."""
        blob = self._client.bucket(stored.bucket).blob(stored.name)
        try:
            key = self._key = self._key or self._find_key()
            address: str = blob.generate_signed_url(
                version="v4",
                expiration=until,
                api_access_endpoint=ENDPOINT,
                credentials=key,
                generation=stored.generation,
                response_type=media_type,
                response_disposition="attachment",
            )
        except GoogleAuthError as error:
            # The exception has the status of IAM's answer only in its text.
            if _REFUSED in str(error):
                raise ObjectForbidden(
                    "IAM refuses to sign. Let this function's service account sign as itself"
                    " (roles/iam.serviceAccountTokenCreator), and enable"
                    " iamcredentials.googleapis.com."
                ) from error
            raise ObjectUnavailable(f"Signing: {type(error).__name__}.") from error
        return address

    def _find_key(self) -> Any:
        request = self._request or partial(
            google.auth.transport.requests.Request(), timeout=TIMEOUT_S
        )
        credentials = self._credentials
        if credentials is None:
            credentials, _ = google.auth.default(scopes=[SCOPE])
        if isinstance(credentials, Signing):
            return credentials
        if not hasattr(credentials, "service_account_email"):
            raise ObjectForbidden("Only a service account can sign, and this is a user.")
        # Until then, the address of the identity of Cloud Run is "default".
        credentials.refresh(request)
        return _IamKey(request, credentials)
