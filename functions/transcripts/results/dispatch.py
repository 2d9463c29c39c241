"""Which route answers a request, and what every answer of a private function has.

A route is a line of the table in the entry file: ``Route(path, handler, methods=[…])``. A handler
is an async function from a request to a response; ``request.path_params`` has the parts of the
path.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any, Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from transcripts.errors import RequestError
from transcripts.ids import usable_id
from transcripts.logs import IDS, bind
from transcripts.web import Handler, error_answer

_HEADERS: Final = {
    # Transcripts are personal data.
    "Cache-Control": "no-store",
    # An export is never run, whatever a speaker said.
    "X-Content-Type-Options": "nosniff",
}


class _NameConvertor(Convertor[str]):
    """A part of a path up to the first dot, so that ``{task_id:name}.{format}`` splits there."""

    regex = "[^/.]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _NameConvertor())


async def dispatch(routes: Sequence[Route], request: Request) -> Response:
    """Return the answer of the first route that fits.

    It is 405 if only another method fits. Raises ``RequestError`` (404) if the path fits none.
    """
    allowed: set[str] = set()
    for route in routes:
        match, found = route.matches(request.scope)
        if match is Match.FULL:
            request.scope.update(found)
            ids = {name: request.path_params.get(name, "") for name in IDS}
            bind(**{name: each for name, each in ids.items() if usable_id(each)})
            answer: Response = await route.endpoint(request)
            return answer
        if match is Match.PARTIAL:
            allowed |= route.methods or set()
    if not allowed:
        raise RequestError("There is nothing at this path.", code="not_found", status=404)
    methods = ", ".join(sorted(allowed))
    error = RequestError(f"Use one of: {methods}.", code="method_not_allowed", status=405)
    answer = error_answer(error)
    answer.headers["Allow"] = methods
    return answer


def private(handler: Handler) -> Handler:
    """Decorate an entry: no browser guesses the type of its answers.

    No cache keeps them either, unless the answer itself allows it.
    """

    @wraps(handler)
    async def answer_privately(request: Request) -> Any:
        answer = await handler(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    return answer_privately
