"""A's own client, `instavm` from PyPI."""

from instavm import InstaVM
from instavm.webhooks import WebhookVerificationError, verify

HEADER = "InstaVM-Signature"


def check(stage, receiver):
    client = InstaVM(api_key=stage.api_key, base_url=stage.url, auto_start_session=False).webhooks
    made = client.create_endpoint(receiver.url, description="first", event_patterns=["*"], timeout_seconds=5, max_retries=3)
    endpoint_id = made["id"]
    assert made["secret"].startswith("whsec_"), made
    assert [one["id"] for one in client.list_endpoints()] == [endpoint_id]
    assert client.get_endpoint(endpoint_id)["description"] == "first"

    signature = {"scheme": "timestamped", "header": HEADER}
    changed = client.update_endpoint(endpoint_id, description="second", signature=signature)
    assert (changed["description"], changed["signature"]["header"]) == ("second", HEADER), changed
    secret = client.rotate_secret(endpoint_id)["secret"]
    assert secret != made["secret"]

    sent = client.send_test_event(endpoint_id)
    headers, body = receiver.next()
    event = verify(headers, body, secret)
    assert event["type"] == "webhook.test", event
    for forged in (body + b" ", body.replace(b"test", b"tost", 1)):
        try:
            verify(headers, forged, secret)
        except WebhookVerificationError:
            continue
        raise AssertionError("a changed body was taken")

    assert client.verify_endpoint(endpoint_id)["status"] == "verified"
    receiver.next()
    path = f"/v1/webhooks/deliveries/{sent['id']}"
    delivered = stage.wait_for(path, lambda one: one["status"] == "delivered")
    listed = client.list_deliveries(endpoint_id=endpoint_id, status="delivered", event_type="webhook.test", limit=10)
    assert [one["id"] for one in listed["items"]] == [sent["id"]], listed
    assert listed["items"][0]["attempt_count"] == 1 and delivered["final_http_status"] == 200

    replay = client.replay_delivery(sent["id"])
    assert replay["replay_of_delivery_id"] == sent["id"], replay
    headers, again = receiver.next()
    assert again == body and verify(headers, again, secret) == event
    assert client.delete_endpoint(endpoint_id)["status"] == "deleted"
    return "create, list, get, update, rotate, test, verify, list deliveries, replay, delete; signatures verified"
