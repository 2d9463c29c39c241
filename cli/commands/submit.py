"""The command `submit`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click

from cli.client.api import Api, open_api
from cli.client.target import Choice
from cli.client.uploads import LABEL_PREFIX, Bucket, Progress, object_name, open_bucket
from cli.client.watching import Watch
from cli.failures import ExitCode, Failure
from cli.options import SUBJECT, json_option, target_options
from cli.output import clean, note, print_json
from transcripts.submissions.answers import EnqueueResult, Receipt
from transcripts.submissions.requests import MAX_ASSETS, RequestBody
from transcripts.submissions.submission import State, submission_id_of_object


class _Item(NamedTuple):
    """One submission, or an error instead. ``watch`` is the subject to follow."""

    input: str
    watch: str
    submission_id: str | None = None
    task_id: str | None = None
    state: str = "queued"
    duplicate: bool = False
    error: str | None = None
    reason: str | None = None
    """The stable code of the error."""


NOT_ENQUEUED: Final = ("It was not enqueued. Submit it again.", "not_enqueued")


def _failed(text: str, error: str, reason: str, submission_id: str | None = None) -> _Item:
    """Return an input that was not submitted; its ``state`` names an end that the ledger knows."""
    state = reason if submission_id else "failed"
    watch = submission_id or text
    return _Item(text, watch, submission_id, state=state, error=error, reason=reason)


@click.command("submit")
@click.argument("inputs", metavar="FILE|gs://…|re_…", nargs=-1, required=True, type=SUBJECT)
@click.option("--watch", is_flag=True, help="Wait for the results.")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Of --watch.")
@click.option("--label", "label_texts", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--force", is_flag=True, help="Buy again what was bought before.")
@click.option(
    "--bucket", envvar="TRANSCRIPTS_BUCKET", metavar="NAME", help="Upload to this bucket."
)
@click.option("--submit-url", envvar="TRANSCRIPTS_SUBMIT_URL", metavar="URL", help="With --url.")
@json_option
@target_options
@click.pass_context
def submit_command(
    context: click.Context,
    *,
    inputs: tuple[str, ...],
    watch: bool,
    timeout_s: float | None,
    label_texts: tuple[str, ...],
    force: bool,
    as_json: bool,
    choice: Choice,
) -> None:
    """Upload files and submit them, or objects and assets.

    A file is uploaded under a name made from its content, so submitting it again pays nothing.
    """
    labels = _labels(label_texts)
    for text in inputs:
        _check_input(text)
    api = open_api(choice)
    items: list[_Item] = []
    try:
        for item in _Submitter(api, choice, labels, force=force).submit(dict.fromkeys(inputs)):
            items.append(item)
            if not as_json:
                _print(item)
            elif watch:
                print_json(item._asdict(), lines=True)
    finally:
        # Also after Ctrl-C: what was bought until then is never hidden.
        if as_json and not watch:
            print_json({"submissions": [item._asdict() for item in items]})
    good = [item for item in items if item.error is None]
    code = ExitCode.OK
    if watch and good:
        names = {item.watch: item.input for item in good}
        code = Watch(api, list(names), timeout_s, as_json, names, is_new=True).run()
    if len(good) < len(items):
        raise Failure("Not everything was submitted. The lines above say why.")
    context.exit(code)


def _labels(texts: Sequence[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Failure(f"--label {text} is not KEY=VALUE.", ExitCode.USAGE)
        labels[key] = value
    return labels


def _check_input(text: str) -> None:
    if text.startswith(("gs://", "re_")) and not Path(text).exists():
        return
    path = Path(text)
    if path.is_dir():
        raise Failure(f"{text} is a folder. Name its files: {text}/*", ExitCode.USAGE)
    if not path.is_file():
        raise Failure(
            f"{text} is no file here, no gs:// address and no asset id (re_…).", ExitCode.USAGE
        )
    if not path.stat().st_size:
        raise Failure(f"{text} is empty.", ExitCode.USAGE)


class _Submitter:
    """Submits each input in its own way."""

    def __init__(self, api: Api, choice: Choice, labels: dict[str, str], *, force: bool) -> None:
        self._api = api
        self._choice = choice
        self._labels = labels
        self._force = force
        self._bucket: Bucket | None = None

    def submit(self, inputs: Collection[str]) -> Iterator[_Item]:
        """Yield what became of each input as it ends; one that fails does not stop the others."""
        files = [text for text in inputs if Path(text).is_file()]
        objects = [text for text in inputs if text not in files and text.startswith("gs://")]
        assets = [text for text in inputs if text not in files and text not in objects]
        requests: list[tuple[list[str], Callable[[], list[_Item]]]] = [
            *(([text], partial(self._file, text)) for text in files),
            *(([text], partial(self._object, text)) for text in objects),
        ]
        if len(assets) == 1:
            requests.append((assets, partial(self._asset, assets[0])))
        else:
            batches = (assets[at : at + MAX_ASSETS] for at in range(0, len(assets), MAX_ASSETS))
            requests += ((batch, partial(self._assets, batch)) for batch in batches)
        for texts, request in requests:
            try:
                yield from request()
            except Failure as error:
                for text in texts:
                    yield _failed(text, error.message, error.reason)
            except UnicodeError:
                yield _failed(texts[0], "Its name is not UTF-8. Rename it.", "bad_name")

    def _file(self, text: str) -> list[_Item]:
        path = Path(text)
        name = object_name(path)
        metadata = {f"{LABEL_PREFIX}{key}": value for key, value in self._labels.items()}
        if self._bucket is None:
            self._bucket = open_bucket(self._api.target, self._choice.bucket)
        with Progress(clean(path.name), path.stat().st_size) as progress:
            uploaded = self._bucket.upload(path, name, metadata, progress.at)
        if uploaded.existed or self._force:
            # The event of an object comes once. A repetition asks submit itself.
            if uploaded.existed:
                note(f"{clean(path.name)} is in the bucket already, and is not uploaded again.")
            return [item._replace(input=text) for item in self._object(uploaded.uri)]
        submission_id = submission_id_of_object(uploaded.uri, uploaded.generation or "")
        return [_Item(text, submission_id, submission_id)]

    def _object(self, uri: str) -> list[_Item]:
        body = RequestBody(uri=uri, labels=self._labels, force=self._force)
        return [_queued(uri, self._api.submit(body, EnqueueResult))]

    def _asset(self, asset_id: str) -> list[_Item]:
        body = RequestBody(asset_id=asset_id, labels=self._labels, force=self._force)
        answer = self._api.submit(body, Receipt)
        item = _Item(
            asset_id,
            answer.task_id,
            answer.submission_id,
            answer.task_id,
            answer.status,
            answer.duplicate,
        )
        return [item]

    def _assets(self, asset_ids: list[str]) -> list[_Item]:
        body = RequestBody(asset_ids=asset_ids, labels=self._labels, force=self._force)
        failed = set(self._api.submit(body, EnqueueResult).failed)
        items = []
        for asset_id in asset_ids:
            if asset_id in failed:
                error = "It was not enqueued. Submit it again."
                items.append(
                    _Item(asset_id, asset_id, state="failed", error=error, reason="not_enqueued")
                )
            else:
                items.append(_Item(asset_id, asset_id))
        return items


def _queued(text: str, answer: EnqueueResult) -> _Item:
    """Return what became of one object; a list has one id, under how it was found."""
    for submission_id in answer.queued:
        return _Item(text, submission_id, submission_id)
    for submission_id in answer.duplicates:
        return _Item(text, submission_id, submission_id, state=State.SUBMITTED, duplicate=True)
    for submission_id in answer.deleted:
        error = "It was bought, and its transcript was deleted. To buy it again: --force"
        return _Item(
            text, submission_id, submission_id, state="deleted", error=error, reason="deleted"
        )
    for submission_id in answer.unknown:
        error = (
            "It may have been bought, and its answer was lost. Ask for it: transcripts status"
            f" {submission_id}\nTo buy it, perhaps twice: --force"
        )
        return _Item(
            text,
            submission_id,
            submission_id,
            None,
            "submit_unknown",
            error=error,
            reason="submit_unknown",
        )
    return _failed(text, *NOT_ENQUEUED)


def _print(item: _Item) -> None:
    if item.error is not None:
        note(f"{clean(item.input)}  {item.state}: {item.error}")
        return
    words = [clean(item.input), "already bought" if item.duplicate else item.state]
    words += [f"submission {item.submission_id}"] if item.submission_id else []
    words += [f"task {item.task_id}"] if item.task_id else []
    click.echo("  ".join(words))
