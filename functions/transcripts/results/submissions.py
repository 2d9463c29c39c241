"""The routes that read the purchase ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from transcripts.errors import RequestError
from transcripts.ids import usable_id
from transcripts.ports import Documents, Read
from transcripts.results import parameters
from transcripts.results.listing import Filter, Listing
from transcripts.results.views import SUBMISSION_VIEW_FIELDS, submission_view
from transcripts.retry import Retrier
from transcripts.submissions.submission import State, Submission, submission_path
from transcripts.web import json_answer

FILTERS: Final[Mapping[str, Filter]] = {
    "state": Filter("state", parameters.one_of(State)),
    "uri": Filter("source.uri", parameters.uri),
    "asset_id": Filter("asset_id", parameters.an_id),
}


def submission_listing(documents: Documents, retrier: Retrier) -> Listing[Submission]:
    """Return the list of submissions, of which the fields of the view are read."""
    return Listing(
        documents,
        retrier,
        "submissions",
        Submission,
        "submission_id",
        SUBMISSION_VIEW_FIELDS,
        FILTERS,
    )


class SubmissionRoutes:
    """Answers ``GET /submissions`` and what lies below."""

    def __init__(self, documents: Documents, retrier: Retrier) -> None:
        self._documents = documents
        self._retrier = retrier
        self._listing = submission_listing(documents, retrier)

    async def list(self, request: Request) -> Response:
        """Answer a page of entries, newest first."""
        page = await self._listing.page(request.query_params)
        submissions = [submission_view(each) for each in page.items]
        return json_answer(
            200, {"submissions": submissions, "next_page_token": page.next_page_token}
        )

    async def show(self, request: Request) -> Response:
        """Answer one entry."""
        parameters.read_parameters({}, request.query_params)
        submission_id = request.path_params["submission_id"]
        submission = await self._read(submission_id) if usable_id(submission_id) else None
        if submission is None:
            raise RequestError(
                "There is no such submission. It may have expired, or its id is misspelled.",
                code="submission_not_found",
                status=404,
            )
        return json_answer(200, submission_view(submission))

    async def _read(self, submission_id: str) -> Submission | None:
        read = Read(submission_path(submission_id), Submission, SUBMISSION_VIEW_FIELDS)
        (found,) = await self._retrier.run(lambda: self._documents.read(read))
        return found.value if found else None
