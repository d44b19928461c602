"""Standard Webhooks' reference libraries, from PyPI and from npm, on what a `standard` endpoint gets."""

import json
import os
import pathlib
import subprocess

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SCRIPT = pathlib.Path(__file__).with_name("standardwebhooks.mjs")


def _python(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


def _javascript(secret, headers, body):
    said = json.dumps({"secret": secret, "headers": headers, "body": body})
    modules = os.environ["CONFORMANCE_NODE"]
    done = subprocess.run(["node", SCRIPT, modules], input=said, text=True, capture_output=True)
    assert done.returncode == 0 or "refused" in done.stderr, done.stderr
    return done.returncode == 0


def check(stage, receiver):
    _, made = stage.call("POST", "/v1/webhooks/endpoints", {"url": receiver.url, "event_patterns": ["standard.*"]})
    old = made["secret"]
    secrets = [old]
    for rotated in (False, True):
        if rotated:
            path = f"/v1/webhooks/endpoints/{made['id']}/rotate-secret"
            secrets.append(stage.call("POST", path)[1]["secret"])
        stage.call("POST", "/v1/webhooks/events", {"event_type": "standard.one", "payload": {"ü": [1, "\u0000"]}})
        headers, body = receiver.next()
        headers = {name.lower(): value for name, value in headers.items()}
        body = body.decode()
        for library in (_python, _javascript):
            for secret in secrets:
                assert library(secret, headers, body), f"{library.__name__} refuses what was signed"
                assert not library(secret, headers, body.replace("1", "2")), f"{library.__name__} takes a forged body"
            assert not library("whsec_" + "A" * 32, headers, body), "another secret is taken"
    stage.call("DELETE", f"/v1/webhooks/endpoints/{made['id']}")
    return "PyPI's and npm's libraries verify, also both secrets of a rotation, and refuse what is forged"
