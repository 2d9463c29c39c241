"""The process that serves a function: settings of the HTTP server and of the garbage collector.

functions-framework serves an async function with gunicorn and uvicorn, and offers no setting for
what is set here. It reads its settings after it has imported the entry file, so every entry calls
``prepare`` when it is imported. ``tests/functional/test_serving.py`` fails when a new version of
the framework no longer works this way.
"""

from __future__ import annotations

import gc
import os
from typing import Final

import gunicorn.config

KEEP_ALIVE_S: Final = 620
"""Longer than the proxy keeps an idle connection (600 s), else a request may meet a connection that
the server is closing (https://cloud.google.com/load-balancing/docs/https#timeouts_and_retries).
gunicorn's default is 2 s."""

COLLECT_AFTER_OBJECTS: Final = 50_000


def prepare() -> None:
    """Prepare the process for serving; call it once, after every import."""
    configure_server()
    freeze_gc()


def configure_server() -> None:
    """Let an idle instance keep its worker and its connections.

    Cloud Run takes the CPU away between requests, and the framework hands
    ``CLOUD_RUN_TIMEOUT_SECONDS`` to gunicorn as the limit of the worker's heartbeat. gunicorn then
    kills the worker of an instance that was idle for longer, together with the request that woke it
    up. Cloud Run itself ends requests that take too long.

    The control socket would need a writable home folder, and nothing uses it.
    """
    os.environ["CLOUD_RUN_TIMEOUT_SECONDS"] = "0"
    gunicorn.config.Keepalive.default = KEEP_ALIVE_S
    gunicorn.config.ControlSocketDisable.default = True


def freeze_gc() -> None:
    """Hide everything imported so far from the garbage collector.

    The libraries leave some hundred thousand objects that live as long as the process. Looking at
    them in every full collection takes 30 ms, which was the callback's p99. Requests leave little
    in cycles, so collecting less often costs only a few MiB.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 20, 100)
