"""The command `open`."""

from __future__ import annotations

import asyncio
import tempfile
import webbrowser
from pathlib import Path
from typing import Final

import click

from cli.client.api import Api, open_api
from cli.client.lookup import find_task
from cli.client.target import Choice
from cli.options import SUBJECT, target_options
from cli.output import note

PORT: Final = 8099
"""The usual port; any free one if it is taken."""


@click.command("open")
@click.argument("subject", metavar="[TASK]", required=False, type=SUBJECT)
@click.option("--port", type=click.IntRange(0, 65535), help="The port on 127.0.0.1.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@target_options
def open_command(
    *, subject: str | None, port: int | None, no_browser: bool, choice: Choice
) -> None:
    """Open the pages in a browser, and keep them open until Ctrl-C.

    TASK is the id of a task, an asset id, a gs:// address or a file; without it, the list opens.
    The pages come through an address of this machine that adds your ID token. The printed address
    lets one browser in, once.
    """
    api = open_api(choice)
    api.target.announce_sample()
    path = "/"
    if subject:
        path = f"/view/{find_task(api, subject)[1].task_id}"
    else:
        # A login that is missing is explained here, and not in the browser.
        api.get("/tasks", {"page_size": 1})
    asyncio.run(_serve(api, choice, path, port, browse=not no_browser))


async def _serve(api: Api, choice: Choice, path: str, port: int | None, *, browse: bool) -> None:
    from cli.client.auth import id_token
    from cli.client.door import Door
    from cli.failures import Failure
    from cli.local.run import interrupted

    url = api.target.results_url
    door = Door(url, lambda: id_token(url, choice))
    try:
        await door.start(PORT if port is None else port)
    except Failure:
        if port is not None:
            raise
        await door.start()
    try:
        click.echo(door.address(path))
        note(f"Shows {api.target.name} until Ctrl-C. The address is for you only.")
        with tempfile.TemporaryDirectory(prefix="transcripts-") as folder:
            if browse:
                # Other users of this machine see the arguments of a browser, but not the file.
                page = Path(folder) / "open.html"
                page.write_text(
                    f'<meta http-equiv="refresh" content="0; url={door.address(path)}">'
                )
                await asyncio.to_thread(webbrowser.open, page.as_uri())
            await interrupted()
    finally:
        await door.stop()
