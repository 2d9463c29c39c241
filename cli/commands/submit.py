"""The command `submit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from cli.client.api import Api, open_api
from cli.client.lookup import object_name
from cli.client.target import Choice
from cli.client.uploads import LABEL_PREFIX, Bucket, Progress, open_bucket
from cli.client.watching import Watch
from cli.failures import ApiError, ExitCode, Failure
from cli.options import json_option, target_options
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


@click.command("submit")
@click.argument("inputs", metavar="FILE|gs://…|re_…", nargs=-1, required=True)
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
    items = list(_Submitter(api, choice, labels, force=force).submit(dict.fromkeys(inputs)))
    good = [item for item in items if item.error is None]
    if as_json and not watch:
        print_json({"submissions": [item._asdict() for item in items]})
    elif not as_json:
        for item in items:
            _print(item)
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

    def submit(self, inputs: Sequence[str] | dict[str, None]) -> list[_Item]:
        """Submit everything; an input that fails does not stop the others."""
        files = [text for text in inputs if Path(text).is_file()]
        objects = [text for text in inputs if text not in files and text.startswith("gs://")]
        assets = [text for text in inputs if text not in files and text not in objects]
        items = [self._attempt(text, self._file) for text in files]
        items += [self._attempt(text, self._object) for text in objects]
        if len(assets) == 1:
            items.append(self._attempt(assets[0], self._asset))
        for start in range(0, len(assets) if len(assets) > 1 else 0, MAX_ASSETS):
            items += self._assets(assets[start : start + MAX_ASSETS])
        return items

    @staticmethod
    def _attempt(text: str, submit: Callable[[str], _Item]) -> _Item:
        try:
            return submit(text)
        except ApiError as error:
            return _Item(text, text, state="failed", error=error.message)

    def _file(self, text: str) -> _Item:
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
            return self._object(uploaded.uri)._replace(input=text)
        submission_id = submission_id_of_object(uploaded.uri, uploaded.generation or "")
        return _Item(text, submission_id, submission_id)

    def _object(self, uri: str) -> _Item:
        body = RequestBody(uri=uri, labels=self._labels, force=self._force)
        return _queued(uri, uri, self._api.submit(body, EnqueueResult))

    def _asset(self, asset_id: str) -> _Item:
        body = RequestBody(asset_id=asset_id, labels=self._labels, force=self._force)
        answer = self._api.submit(body, Receipt)
        return _Item(
            asset_id,
            answer.task_id,
            answer.submission_id,
            answer.task_id,
            answer.status,
            answer.duplicate,
        )

    def _assets(self, asset_ids: list[str]) -> list[_Item]:
        body = RequestBody(asset_ids=asset_ids, labels=self._labels, force=self._force)
        failed = set(self._api.submit(body, EnqueueResult).failed)
        items = []
        for asset_id in asset_ids:
            if asset_id in failed:
                error = "It was not enqueued. Submit it again."
                items.append(_Item(asset_id, asset_id, state="failed", error=error))
            else:
                items.append(_Item(asset_id, asset_id))
        return items


def _queued(text: str, watch: str, answer: EnqueueResult) -> _Item:
    """Return what became of one object; a list has one id, under how it was found."""
    for submission_id in answer.queued:
        return _Item(text, submission_id, submission_id)
    for submission_id in answer.duplicates:
        return _Item(text, submission_id, submission_id, state=State.SUBMITTED, duplicate=True)
    for submission_id in answer.deleted:
        error = "It was bought, and its transcript was deleted. To buy it again: --force"
        return _Item(text, submission_id, submission_id, state="deleted", error=error)
    for submission_id in answer.unknown:
        error = (
            "It may have been bought, and its answer was lost. Ask for it: transcripts status"
            f" {submission_id}\nTo buy it, perhaps twice: --force"
        )
        return _Item(text, submission_id, submission_id, None, "submit_unknown", error=error)
    return _Item(text, watch, state="failed", error="It was not enqueued. Submit it again.")


def _print(item: _Item) -> None:
    if item.error is not None:
        note(f"{clean(item.input)}  {item.state}: {item.error}")
        return
    words = [clean(item.input), "already bought" if item.duplicate else item.state]
    words += [f"submission {item.submission_id}"] if item.submission_id else []
    words += [f"task {item.task_id}"] if item.task_id else []
    click.echo("  ".join(words))
