"""An async function that only reads the body."""

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response


@functions_framework.aio.http
async def reading(request: Request) -> Response:
    """Answer 200 once the body is here."""
    await request.body()
    return Response("ok")
