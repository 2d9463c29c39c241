"""An empty async function: what the framework and the server cost by themselves."""

import functions_framework.aio
from starlette.requests import Request


@functions_framework.aio.http
async def empty(_: Request) -> str:
    """Answer 200 and nothing."""
    return ""
