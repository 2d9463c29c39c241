"""The first request of a deployed function: access token, TLS and RPCs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.google import Deployed, deployed
from tests.bench.servers import serving
from tests.bench.start import answer, first_requests
from transcripts.settings import FUNCTIONS


@pytest.fixture(scope="module")
def google() -> Iterator[Deployed]:
    with deployed() as google:
        yield google


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_first_request_with_the_metadata_servers_token_is_answered(
    google: Deployed, name: str
) -> None:
    """The services refuse every call without that token, and every connection without TLS."""
    google.documents.clear()
    first = first_requests(google.environ["BENCH_ASSET"])[name]
    request = first.encode()
    with serving(name, google.environ, lambda port: answer(port, request)) as server:
        assert server.status == first.status


def test_first_request_without_a_token_is_refused_as_transient(google: Deployed) -> None:
    """Mavi sends the callback again; the next request asks for the token again."""
    first = first_requests(google.environ["BENCH_ASSET"])["callback"].encode()
    # The path has no token; the address is the one of a server that answers 404.
    environ = {**google.environ, "GCE_METADATA_HOST": google.environ["grpc_proxy"][7:]}
    with serving("callback", environ, lambda port: answer(port, first)) as server:
        assert server.status == 503
