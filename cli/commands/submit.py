"""The command `submit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from cli.client.api import open_api
from cli.client.recordings import is_here, refusal, walk
from cli.client.submitting import LEFT_OUT, NEW, Input, Item, Submitter, failed, not_taken
from cli.client.target import Choice
from cli.client.uploads import FileUnreadable
from cli.client.watching import Watch
from cli.failures import ExitCode, Failure
from cli.options import SUBJECT, json_option, target_options, yes_option
from cli.output import clean, clock, confirm, note, print_json
from transcripts.cost import MAVI_USD_PER_MINUTE, cost
from transcripts.ids import usable_labels


@click.command("submit")
@click.argument("inputs", metavar="FILE|gs://…|re_…", nargs=-1, required=True, type=SUBJECT)
@click.option("--recursive", "-r", is_flag=True, help="Submit the media below each folder.")
@click.option("--watch", is_flag=True, help="Wait for the results.")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Of --watch.")
@click.option("--label", "label_texts", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--force", is_flag=True, help="Buy again what was bought before, and pay again.")
@click.option("--dry-run", is_flag=True, help="Only say what would be bought, and for how much.")
@click.option(
    "--bucket", envvar="TRANSCRIPTS_BUCKET", metavar="NAME", help="Upload to this bucket."
)
@click.option("--submit-url", envvar="TRANSCRIPTS_SUBMIT_URL", metavar="URL", help="With --url.")
@yes_option
@json_option
@target_options
@click.pass_context
def submit_command(  # noqa: PLR0913 - click gives each option by its name
    context: click.Context,
    *,
    inputs: tuple[str, ...],
    recursive: bool,
    watch: bool,
    timeout_s: float | None,
    label_texts: tuple[str, ...],
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    choice: Choice,
) -> None:
    """Upload files and submit them, or objects and assets.

    A recording is known by its content, so submitting it again, under any name, pays nothing.
    --force buys it again; it says what that costs, and asks. Files that are no media are left out.
    """
    labels = _labels(label_texts)
    inputs_ = list(_inputs(inputs, recursive=recursive))
    taken = [each for each in inputs_ if isinstance(each, Input)]
    api = open_api(choice)
    submitter = Submitter(api, choice.bucket, labels, force=force)
    report = _Report(as_json, watch and not dry_run, _estimated if dry_run else _submitted)
    for each in inputs_:
        if isinstance(each, Item):
            report.add(each)
    if dry_run:
        for item in submitter.estimate(taken):
            report.add(item)
        report.end()
        note(f"Nothing was uploaded or bought. It would be: {_price(report.items)}.")
        _fail_if_one_failed(report.items, "Not everything can be submitted.")
        return
    if force and taken and not yes:
        estimates = list(submitter.estimate(taken))
        for item in estimates:
            note((item.error and f"{item.input}  {item.error}") or _estimated(item))
        confirm(f"Buy {_price(estimates)}?", yes=False)
    _submit(submitter, taken, report, force=force)
    good = [item for item in report.items if item.error is None]
    code = ExitCode.OK
    if watch and good:
        names: dict[str, str] = {}
        for item in good:
            # A copy of the same recording is told under the name that came first.
            names.setdefault(item.subject, item.input)
        code = Watch(api, list(names), timeout_s, as_json, names, is_new=True).run()
    _fail_if_one_failed(report.items, "Not everything was submitted.")
    context.exit(code)


def _labels(texts: Sequence[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals or not usable_labels({key: value}):
            raise Failure(f"--label {text} is not KEY=VALUE.", ExitCode.USAGE)
        labels[key] = value
    return labels


def _inputs(texts: Sequence[str], *, recursive: bool) -> Iterator[Input | Item]:
    """Yield what is submitted, and files that are not taken; raises ``Failure`` for neither."""
    for text in dict.fromkeys(texts):
        path = Path(text)
        if not is_here(path):
            if not text.startswith(("gs://", "re_")):
                raise Failure(
                    f"{clean(text)} is no file here, no gs:// address and no asset id (re_…).",
                    ExitCode.USAGE,
                )
            yield Input(text)
            continue
        errors: list[OSError] = []
        for file in walk(path, errors.append) if recursive and path.is_dir() else [path]:
            reason = refusal(file)
            yield not_taken(file, reason) if reason else Input(str(file), file)
        for error in errors:
            yield failed(str(error.filename), FileUnreadable(error))


def _submit(submitter: Submitter, taken: Sequence[Input], report: _Report, *, force: bool) -> None:
    """Submit, and say what becomes of each input; also after Ctrl-C nothing of it is hidden."""
    try:
        for item in submitter.submit(taken):
            report.add(item)
    except KeyboardInterrupt:
        done = sum(item.error is None for item in report.items)
        go_on = "submit the others" if force else "repeat the command: nothing is bought twice"
        note(
            f"\nStopped. {done} of {len(taken)} were submitted, as said above. To go on,"
            f" {go_on}, and an upload goes on where it was."
        )
        raise
    finally:
        report.end()


@dataclass
class _Report:
    """What became of the inputs: a line for each as it ends, or one JSON document."""

    as_json: bool
    lines: bool
    show: Callable[[Item], str]
    items: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> None:
        """Add what became of an input."""
        self.items.append(item)
        if self.as_json:
            if self.lines:
                print_json(item, lines=True)
        elif item.error is not None:
            note(f"{item.input}  {item.state.replace('_', ' ')}: {item.error}")
        else:
            click.echo(self.show(item))

    def end(self) -> None:
        """Print the document."""
        if self.as_json and not self.lines:
            print_json({"submissions": self.items})


def _fail_if_one_failed(items: Sequence[Item], sentence: str) -> None:
    reasons = {item.reason for item in items if item.is_failure}
    if reasons:
        code = ExitCode.NOT_AUTHORIZED if reasons == {"not_authorized"} else ExitCode.FAILED
        raise Failure(f"{sentence} The lines above say why.", code)
    if all(item.state == LEFT_OUT for item in items):
        raise Failure("There is no media file to submit.")


def _submitted(item: Item) -> str:
    """Return a line about an input that was submitted."""
    words = [item.input, "already bought" if item.duplicate else item.state]
    words += [f"submission {item.submission_id}"] if item.submission_id else []
    words += [f"task {item.task_id}"] if item.task_id else []
    labels = " ".join(f"{key}={value}" for key, value in item.labels.items())
    words += [f"labels {clean(labels)}"] if labels else []
    return "  ".join(words)


def _estimated(item: Item) -> str:
    """Return a line about an input that would be submitted."""
    state = f"bought, {item.state}" if item.duplicate and item.state != NEW else item.state
    words = [item.input, "the same recording" if item.duplicate and item.state == NEW else state]
    words += [f"task {item.task_id}"] if item.task_id else []
    words += [clock(item.duration_s)] if item.duration_s else ["length unknown"]
    words += [_price([item])]
    return "  ".join(words)


def _price(items: Sequence[Item]) -> str:
    """Return for how much media is bought; what is not known is said."""
    bought = [item for item in items if item.error is None and item.cost_usd != 0]
    known = [item.duration_s for item in bought if item.duration_s is not None]
    parts = [cost(sum(known))] if known else []
    if unknown := len(bought) - len(known):
        of = f" for {unknown} of unknown length" if len(items) > 1 else ""
        parts.append(f"${MAVI_USD_PER_MINUTE:.2f} a minute{of}")
    if not parts:
        return "nothing to pay"
    count = f"{len(bought)} recordings for " if len(bought) > 1 else ""
    return count + ", and ".join(parts)
