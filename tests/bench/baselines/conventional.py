"""The callback as it is usually written: Google's samples, with no validation at all."""

import json
import os

import functions_framework
from flask import Request
from google.cloud import pubsub_v1

publisher = pubsub_v1.PublisherClient()


@functions_framework.http
def conventional(request: Request) -> tuple[dict[str, object], int]:
    """Parse, publish, wait, answer."""
    body = request.get_data()
    callback = json.loads(body)
    future = publisher.publish(
        os.environ["CALLBACK_TOPIC"], body, task_id=callback["task_id"], kind="multi_speaker"
    )
    future.result(timeout=10)
    return {"code": 0, "msg": "success"}, 200
