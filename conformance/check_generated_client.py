"""A client generated from our OpenAPI document by a stock generator."""

import importlib
import json
import pathlib
import subprocess
import sys
import tempfile


def check(stage, receiver):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "openapi.json").write_text(json.dumps(stage.call("GET", "/openapi.json")[1]))
        generated = subprocess.run(
            ["openapi-python-client", "generate", "--path", "openapi.json", "--output-path", "client", "--meta", "none"],
            cwd=folder, capture_output=True, text=True,
        )
        said = generated.stdout + generated.stderr
        assert generated.returncode == 0, said
        # The generator knows no OpenMetrics; everything else must be understood.
        assert said.count("Cannot parse") <= 1 and "openmetrics" in said, said
        sys.path.insert(0, str(folder))
        try:
            return _use(stage, receiver)
        finally:
            sys.path.remove(str(folder))


def _use(stage, receiver):
    client = importlib.import_module("client").AuthenticatedClient(
        base_url=stage.url, token=stage.api_key, auth_header_name="X-API-Key", prefix="",
    )
    list_deliveries = importlib.import_module("client.api.deliveries.list_deliveries")
    replay = importlib.import_module("client.api.deliveries.replay_webhook_delivery")
    _, made = stage.call("POST", "/v1/webhooks/endpoints", {"url": receiver.url, "event_patterns": ["generated"]})
    stage.call("POST", "/v1/webhooks/events", {"event_type": "generated", "payload": {}})
    receiver.next()
    path = f"/v1/webhooks/deliveries?endpoint_id={made['id']}&status=delivered"
    stage.wait_for(path, lambda page: page["items"])
    listed = list_deliveries.sync(client=client, endpoint_id=made["id"], limit=10)
    assert len(listed.items) == 1, listed
    replayed = replay.sync(client=client, delivery_id=listed.items[0].id)
    assert replayed.replay_of_delivery_id == listed.items[0].id, replayed
    receiver.next()
    stage.call("DELETE", f"/v1/webhooks/endpoints/{made['id']}")
    return "generated without a warning; lists deliveries and makes a replay"
