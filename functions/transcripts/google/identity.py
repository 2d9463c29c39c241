"""The identity of this process in calls to Google's services, as gRPC call credentials.

Everywhere but in a deployed function, google-auth finds it. In a deployed function the metadata
server issues the access tokens of the function's service account
(https://cloud.google.com/run/docs/container-contract#metadata-server), and one GET is all it takes.
google-auth would import requests and cryptography for it, which take 110 ms of CPU time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from threading import Lock
from time import time
from typing import Any, Final

import grpc
import msgspec

METADATA_HOST: Final = "metadata.google.internal"
TOKEN_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
FETCH_TIMEOUT_S: Final = 3.0

REFRESH_BEFORE_S: Final = 225.0
"""A token is replaced this long before it expires, as google-auth does; the metadata server keeps
a token until five minutes before
(https://cloud.google.com/compute/docs/access/authenticate-workloads#applications)."""

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class IdentityError(Exception):
    """This process has no Google identity, or got no token for it."""


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float


def is_deployed(environ: Mapping[str, str]) -> bool:
    """Tell whether the metadata server issues the tokens of this process.

    Cloud Run sets ``K_SERVICE``. A file with credentials takes precedence, as in google-auth.
    """
    return "K_SERVICE" in environ and not environ.get("GOOGLE_APPLICATION_CREDENTIALS")


def call_credentials(host: str) -> grpc.CallCredentials:
    """Return what adds the token to each call to ``host``; raises ``IdentityError``.

    It may wait for the metadata server and for files, so it must not run on the event loop.
    """
    if is_deployed(os.environ):
        metadata_host = os.environ.get("GCE_METADATA_HOST", METADATA_HOST)
        return grpc.metadata_call_credentials(ServiceIdentity(metadata_host))
    return grpc.metadata_call_credentials(_found_by_google_auth(host))


def _found_by_google_auth(host: str) -> grpc.AuthMetadataPlugin:
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.grpc import AuthMetadataPlugin
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
    except (GoogleAuthError, OSError, ValueError) as error:
        raise IdentityError(type(error).__name__) from error
    plugin: grpc.AuthMetadataPlugin = AuthMetadataPlugin(credentials, Request(), default_host=host)
    return plugin


class ServiceIdentity(grpc.AuthMetadataPlugin):
    """Adds the access token of the function's service account to each call.

    gRPC calls it in threads of its own. A call without a token fails with ``UNAVAILABLE``.
    """

    def __init__(self, metadata_host: str, clock: Callable[[], float] = time) -> None:
        """Take the metadata server's ``host`` or ``host:port``, and a clock in seconds.

        It is the system's clock: a monotonic one may stop while an idle instance is suspended.
        """
        self._metadata_host = metadata_host
        self._clock = clock
        self._lock = Lock()
        self._header = ""
        self._expires_at = clock()

    def __call__(self, _context: Any, callback: Any) -> None:
        """Give ``callback`` the header with the token, or the ``IdentityError``."""
        try:
            header = self.header()
        except IdentityError as error:
            callback((), error)
            return
        callback((("authorization", header),), None)

    def header(self) -> str:
        """Return the value of ``authorization``; raises ``IdentityError``.

        A token that can't be replaced is used until it expires.
        """
        with self._lock:
            left_s = self._expires_at - self._clock()
            if left_s > REFRESH_BEFORE_S:
                return self._header
            try:
                self._refresh()
            except IdentityError:
                if left_s <= 0:
                    raise
            return self._header

    def _refresh(self) -> None:
        asked_at = self._clock()
        answer = self._fetch()
        self._header = f"Bearer {answer.access_token}"
        self._expires_at = asked_at + answer.expires_in

    def _fetch(self) -> _Answer:
        connection = HTTPConnection(self._metadata_host, timeout=FETCH_TIMEOUT_S)
        try:
            connection.request("GET", TOKEN_PATH, headers={"Metadata-Flavor": "Google"})
            with connection.getresponse() as response:
                body = response.read()
            if response.status != 200:
                raise IdentityError(f"the metadata server answered {response.status}")
            return msgspec.json.decode(body, type=_Answer)
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            # The error of a decoder may quote the token.
            raise IdentityError(type(error).__name__) from None
        finally:
            connection.close()
