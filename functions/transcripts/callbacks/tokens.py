"""The check of a callback's sender: the path of the callback's URL is a secret token."""

from __future__ import annotations

import hmac
from collections.abc import MutableMapping, Sequence
from typing import Any

from transcripts.settings import Secret


class TokenCheck:
    """Compares a request's path with every live token, in constant time."""

    def __init__(self, tokens: Sequence[Secret]) -> None:
        self._tokens = [token.reveal().encode() for token in tokens]

    def __call__(self, scope: MutableMapping[str, Any]) -> bool:
        """Tell whether the path is ``/`` and a live token, and remove the path from the scope.

        One trailing slash is allowed. The framework logs the path of a scope when an answer can't
        be sent, so the token must not stay there.
        """
        path: str = scope["path"]
        scope.update(path="/", raw_path=b"/", path_params={})
        given = path[1:].removesuffix("/").encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(given, token) for token in self._tokens]
        return any(matches)
