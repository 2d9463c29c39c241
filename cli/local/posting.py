"""The HTTP client of the local broker, queue and schedule."""

from __future__ import annotations

import io

import aiohttp

from cli.local.broker import Post


def poster(client: aiohttp.ClientSession) -> Post:
    """Return a function that posts JSON and returns the status; it raises ``OSError``."""

    async def post(url: str, body: bytes) -> int:
        try:
            async with client.post(
                url, data=io.BytesIO(body), headers={"Content-Type": "application/json"}
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(type(error).__name__) from error

    return post
