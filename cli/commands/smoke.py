"""The command `smoke`: whether a pipeline works from callback to reader, shown with a canary.

The canary is a callback that Mavi never sent. It costs nothing and is deleted at the end.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
import urllib3

from cli.client.api import Api, open_api
from cli.client.kept_messages import KeptFrom, KeptMessages, open_kept, open_results
from cli.client.target import Choice, Target
from cli.commands.doctor import Check, functions, report
from cli.commands.replay import SOURCES, errors_in_words
from cli.commands.smoke_cloud import cloud_checks
from cli.deploy.errors import Refused
from cli.deploy.secret_values import TOKENS, read_secret, secret_id
from cli.failures import ApiError, ExitCode, Failure
from cli.options import json_option, target_options
from cli.output import note

ANSWER_TIMEOUT_S: Final = 30.0
STORED_WITHIN_S: Final = 60.0
POLL_S: Final = 0.5
FORMATS: Final = ("srt", "json")
WRONG_TOKEN: Final = "0" * 43


@click.command("smoke")
@click.option(
    "--buy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Buy the transcript of this file too, submitted twice: $0.10 a minute.",
)
@json_option
@target_options
@click.pass_context
def smoke_command(
    context: click.Context, *, buy: Path | None, as_json: bool, choice: Choice
) -> None:
    """Prove that the whole path works, and say what to do where it does not.

    A canary goes through callback, topic and database, is read, and is deleted. Nothing is bought
    without --buy.
    """
    started = time.monotonic()
    ok = report(_checks(open_api(choice), choice, buy), as_json=as_json)
    note(f"{time.monotonic() - started:.0f} s")
    context.exit(ExitCode.OK if ok else ExitCode.FAILED)


def _checks(api: Api, choice: Choice, buy: Path | None) -> Iterator[Check]:
    target = api.target
    yield from functions(api)
    if target.stack is not None:
        yield from _canary(api, target.stack.callback_url, "transcripts up")
        yield from _local_sweep(target.stack.urls["sweep"])
        yield from _guarded("kept messages", _kept(target))
    elif target.environment is not None and target.callback_url:
        environment = target.environment
        deploy = f"make deploy ENV={environment.name}"
        try:
            token = read_secret(environment.project, secret_id(environment.prefix, TOKENS))
        except Refused as error:
            yield Check("token", ok=False, detail=str(error), repair=deploy)
        else:
            url = f"{target.callback_url}/{token.split(',')[0]}"
            yield from _guarded("canary", _canary(api, url, deploy))
        yield from _strangers(target, deploy)
        yield from cloud_checks(environment)
        yield from _guarded("kept messages", _kept(target))
    else:
        raise Failure("Name the deployment: --env NAME", ExitCode.USAGE)
    if buy is not None:
        yield from _purchase(buy, choice)


def _guarded(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Run checks that use Pub/Sub; a missing login or right is a problem of its own."""
    try:
        with errors_in_words():
            yield from checks
    except Failure as error:
        detail, _, repair = error.message.rpartition(" Run: ")
        yield Check(name, ok=False, detail=detail or error.message, repair=repair or None)


# The canary ---------------------------------------------------------------------------------------


def _canary(api: Api, callback_url: str, repair: str) -> Iterator[Check]:
    """Post a callback, follow it until it can be read, and delete it."""
    task_id = f"smoke-{uuid4().hex}"
    kept = open_results(api.target, task_id)
    try:
        yield from _refusals(callback_url, repair)
        accepted = _accepted(callback_url, task_id, repair)
        yield accepted
        if accepted.ok:
            stored = _stored(api, task_id, repair)
            yield stored
            yield from _exports(api, task_id, repair) if stored.ok else ()
            yield _told(kept, task_id, repair)
            yield _deleted(api, task_id)
    finally:
        asyncio.run(kept.close())


def _accepted(callback_url: str, task_id: str, repair: str) -> Check:
    segment = {"start_time": 0, "end_time": 1, "speaker": "Canary", "text": "A canary."}
    content = {
        "code": "0000",
        "task_id": task_id,
        "data": {"success": True, "data": {"audio_transcription": [segment]}},
    }
    status, _ = _request("POST", callback_url, json.dumps(content).encode())
    if status == 200:
        return Check("callback", ok=True, detail="accepts the deployment's own token")
    if status == 404:
        detail = (
            "refuses the newest token of the secret: it runs with another version of the secret,"
            " and Mavi's callbacks are refused too if the URL in its console has this token"
        )
        return Check("callback", ok=False, detail=detail, repair=repair)
    if status == 503:
        detail = "can't publish to its topic (503): Mavi's callbacks are not accepted"
        return Check("callback", ok=False, detail=detail, repair=repair)
    return Check("callback", ok=False, detail=_answered(status), repair=repair)


def _refusals(callback_url: str, repair: str) -> Iterator[Check]:
    base = callback_url.rpartition("/")[0]
    wrong = _request("POST", f"{base}/{WRONG_TOKEN}", b"{}")
    absent = _request("POST", f"{base}/", b"{}")
    if wrong == absent == (404, b""):
        yield Check("wrong token", ok=True, detail="is refused like an absent one")
    else:
        detail = f"{_answered(wrong[0])}; without a token callback {_answered(absent[0])}"
        yield Check("wrong token", ok=False, detail=detail, repair=repair)


def _stored(api: Api, task_id: str, repair: str) -> Check:
    """Wait until results has the canary's document."""
    started = time.monotonic()
    detail = ""
    while time.monotonic() - started < STORED_WITHIN_S:
        try:
            api.get(f"/tasks/{task_id}")
            waited_s = time.monotonic() - started
            return Check("document", ok=True, detail=f"is there after {waited_s:.1f} s")
        except ApiError as error:
            if error.status != 404:
                return Check("document", ok=False, detail=error.message, repair=repair)
        except Failure as error:
            detail = f": {error.message.partition(chr(10))[0]}"
        time.sleep(POLL_S)
    return Check(
        "document",
        ok=False,
        detail=f"is not there after {STORED_WITHIN_S:.0f} s{detail}. subscriber has not stored it:"
        f" look at its log. When it comes, remove it: transcripts delete {task_id}",
        repair="transcripts logs --severity WARNING" + _env(api.target),
    )


def _exports(api: Api, task_id: str, repair: str) -> Iterator[Check]:
    for name in FORMATS:
        try:
            body = api.get(f"/tasks/{task_id}.{name}").body
            yield Check(f"export {name}", ok=b"A canary." in body, detail=f"{len(body)} bytes")
        except Failure as error:
            yield Check(f"export {name}", ok=False, detail=error.message, repair=repair)


def _told(kept: KeptMessages, task_id: str, repair: str) -> Check:
    """Wait for the event of the canary, and remove it."""

    async def found() -> bool:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline:
            async for each in kept.read():
                if each.message.attributes.get("task_id") == task_id:
                    await kept.acknowledge(each)
                    return True
        return False

    if asyncio.run(found()):
        return Check("event", ok=True, detail="is on the results topic")
    detail = f"is not on the results topic after {ANSWER_TIMEOUT_S:.0f} s"
    return Check("event", ok=False, detail=detail, repair=repair)


def _deleted(api: Api, task_id: str) -> Check:
    again = f"transcripts delete {task_id} --yes{_env(api.target)}"
    try:
        answer = api.call("DELETE", f"/tasks/{task_id}", repeatable=True)
        left = api.get(f"/tasks/{task_id}").status if answer.status == 204 else answer.status
    except ApiError as error:
        if error.status == 404:
            return Check("canary", ok=True, detail="is deleted")
        return Check("canary", ok=False, detail=error.message, repair=again)
    except Failure as error:
        return Check("canary", ok=False, detail=error.message, repair=again)
    return Check("canary", ok=False, detail=f"is still there ({left})", repair=again)


def _env(target: Target) -> str:
    return f" --env {target.environment.name}" if target.environment else ""


def _request(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request without a login; the status is 0 if nothing answers."""
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        answer = urllib3.request(
            method, url, body=body, headers=headers, timeout=ANSWER_TIMEOUT_S, retries=False
        )
    except urllib3.exceptions.HTTPError:
        return 0, b""
    return answer.status, answer.data


def _answered(status: int) -> str:
    return f"answers {status}" if status else "does not answer"


def _local_sweep(url: str) -> Iterator[Check]:
    status, _ = _request("POST", url)
    yield Check("sweep", ok=status == 200, detail=_answered(status), repair="transcripts up")


def _kept(target: Target) -> Iterator[Check]:
    """Check that nothing waits for an operator."""

    async def is_empty(kept: KeptMessages) -> bool:
        try:
            async for _ in kept.read():
                return False
            return True
        finally:
            await kept.close()

    for source in map(KeptFrom, SOURCES):
        name = f"kept in {source}"
        if asyncio.run(is_empty(open_kept(target, source))):
            yield Check(name, ok=True, detail="nothing")
        else:
            repair = f"transcripts replay {source}{_env(target)}  # docs/operations.md#dead-letters"
            detail = "messages that could not be processed wait for you"
            yield Check(name, ok=False, detail=detail, repair=repair)


def _strangers(target: Target, repair: str) -> Iterator[Check]:
    """Check that private functions refuse requests without a login."""
    urls = {name: url for name, url in target.urls.items() if name != "callback"}
    # 404: Google's own answer where only internal traffic is accepted.
    statuses = {name: _request("POST", url)[0] for name, url in urls.items()}
    open_ones = {n: s for n, s in statuses.items() if s not in (401, 403, 404)}
    if open_ones:
        detail = ", ".join(f"{name} {_answered(status)}" for name, status in open_ones.items())
        yield Check("strangers", ok=False, detail=f"{detail} without a login", repair=repair)
    else:
        yield Check("strangers", ok=True, detail=f"are refused by {', '.join(urls)}")


# A purchase ---------------------------------------------------------------------------------------


def _purchase(path: Path, choice: Choice) -> Iterator[Check]:
    """Buy the transcript of a file, wait for Mavi's callback, and submit the file again."""
    words = ("submit", str(path), "--watch", "--timeout", "3600", "--json")
    bought = _transcripts(*words, choice=choice)
    last = _last_line(bought)
    if bought.returncode:
        detail = last.get("next_step") or last.get("error") or bought.stderr.strip()
        yield Check("purchase", ok=False, detail=f"{last.get('state') or 'failed'}: {detail}")
        return
    yield Check("purchase", ok=True, detail=f"task {last['task_id']} {last['state']}")
    again = _transcripts("submit", str(path), "--json", choice=choice)
    item = json.loads(again.stdout)["submissions"][0] if again.stdout else {}
    same = item.get("duplicate") and item.get("task_id") == last["task_id"]
    detail = "costs nothing" if same else f"was not recognized: {item or again.stderr.strip()}"
    yield Check("second submission", ok=bool(same), detail=detail)


def _last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.splitlines()
    return dict(json.loads(lines[-1])) if lines else {}


def _transcripts(*words: str, choice: Choice) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("transcripts"))
    chosen = [f"--env={choice.env}"] if choice.env else []
    return subprocess.run(  # noqa: S603 - our own program
        [program, *words, *chosen], capture_output=True, text=True, check=False
    )
