"""The routes that change tasks: people's names, deletion, and making a result again."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from transcripts.ids import usable_id
from transcripts.results import parameters
from transcripts.results.deletion import Deletion
from transcripts.results.not_found import task_not_found
from transcripts.results.renormalize import Renormalizer
from transcripts.results.speaker_names import SpeakerNames, read_changes
from transcripts.submissions.requests import check_content_type
from transcripts.web import BodyReader, header, json_answer

MAX_BODY_BYTES: Final = 1024 * 1024


class TaskChanges:
    """Answers what is not ``GET`` below ``/tasks``."""

    def __init__(self, names: SpeakerNames, deletion: Deletion, renormalizer: Renormalizer) -> None:
        self._names = names
        self._deletion = deletion
        self._renormalizer = renormalizer

    async def rename(self, request: Request) -> Response:
        """Answer the speakers with their new names, and the task's new ``ETag``."""
        task_id = _task_id(request)
        parameters.read_parameters({}, request.query_params)
        check_content_type(header(request, b"content-type"))
        changes = read_changes(await BodyReader(request, MAX_BODY_BYTES).read())
        renamed = await self._names.rename(task_id, changes, header(request, b"if-match"))
        content = {"task_id": task_id, "speakers": renamed.speakers}
        return json_answer(200, content, {"ETag": renamed.etag})

    async def delete(self, request: Request) -> Response:
        """Answer 204, or 200 with what is left and why."""
        task_id = _task_id(request)
        given = parameters.read_parameters({"asset": parameters.switch}, request.query_params)
        left = await self._deletion.delete(task_id, asset=given.get("asset", False))
        if not left:
            return Response(status_code=204)
        return json_answer(200, {"task_id": task_id, "left": left})

    async def renormalize(self, request: Request) -> Response:
        """Answer the summary of the new result."""
        task_id = _task_id(request)
        parameters.read_parameters({}, request.query_params)
        return json_answer(200, await self._renormalizer.renormalize(task_id))


def _task_id(request: Request) -> str:
    task_id: str = request.path_params["task_id"]
    if not usable_id(task_id):
        raise task_not_found()
    return task_id
