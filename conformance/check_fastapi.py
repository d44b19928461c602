"""FastAPI as the yardstick: the same requests, the same errors, the same schemas."""

import http.client
import json
import threading
import time
import urllib.parse

import uvicorn

import yardstick

REPLAY = "/v1/webhooks/deliveries/0190a0b0-c0d0-7e0f-8a0b-0c0d0e0f0a0b/replay"
TOKEN = "/v1/auth/token"
ENDPOINTS = "/v1/webhooks/endpoints"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
KEY = "KEY"  # stands for a good key of whoever is asked

AUTHENTICATION = [
    ("POST", REPLAY, {}, None),
    ("POST", REPLAY, {"Authorization": "Basic eDp5"}, None),
    ("POST", REPLAY, {"Authorization": "Bearer nonsense"}, None),
    ("POST", REPLAY, {"Authorization": "Bearer"}, None),
    ("POST", REPLAY, {"X-API-Key": "nonsense"}, None),
    ("POST", REPLAY, {"X-API-Key": KEY}, None),
    ("POST", REPLAY, {"X-API-Key": KEY, **JSON}, "{}"),
    ("GET", REPLAY, {}, None),
    ("PUT", REPLAY, {"X-API-Key": KEY}, None),
    ("DELETE", TOKEN, {}, None),
    ("GET", TOKEN, {}, None),
    # Of a path with several methods FastAPI's Allow names one of them, which no client can want.
    ("GET", "/nowhere", {}, None),
    ("POST", "/v1/webhooks/nowhere", {"X-API-Key": KEY}, None),
]

FORMS = [
    (FORM, "username=a&password=b"),
    (FORM, "grant_type=password&username=a&password=b&scope=x"),
    (FORM, ""),
    (FORM, "username=a"),
    (FORM, "password=b"),
    (FORM, "username=&password="),
    (FORM, "grant_type=refresh_token&username=a&password=b"),
    (FORM, "grant_type=client_credentials"),
    (FORM, "grant_type=PASSWORD&username=a"),
    (FORM, "username=a&username=b&password=c"),
    (FORM, "username=a&password=b&surprise=c"),
    (JSON, '{"username": "a", "password": "b"}'),
    ({}, None),
    ({"Content-Type": "text/plain"}, "username=a&password=b"),
    ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, "username=a&password=b"),
]

BODIES = [
    "{}", "[]", "7", '"x"', "null", "", "{", '{"url": }', "[1,]", "nonsense",
    '{"url": 7, "description": 8, "event_patterns": "x", "timeout_seconds": "y", "surprise": 1}',
    '{"url": "https://a.example", "event_patterns": []}',
    '{"url": "https://a.example", "event_patterns": ["a", 7, null, {"x": 1}]}',
    '{"url": "https://a.example", "timeout_seconds": 0, "max_retries": 51}',
    '{"url": "https://a.example", "timeout_seconds": 61, "max_retries": -1}',
    '{"url": "https://a.example", "timeout_seconds": 1.5, "max_retries": true}',
    '{"url": "https://a.example", "timeout_seconds": [], "max_retries": {}}',
    '{"url": "https://a.example", "timeout_seconds": "7.5", "max_retries": "x"}',
    '{"url": "https://a.example", "headers": [], "signature": []}',
    '{"url": "https://a.example", "headers": {"a": 1, "b": null}}',
    '{"url": "https://a.example", "signature": {"scheme": 1, "header": [], "surprise": 2}}',
    '{"url": "https://a.example", "rate_limit_per_second": 0, "max_in_flight": 1001}',
    '{"description": "%s"}' % ("x" * 1001),
    '{"url": null, "secret": 7}',
    '{"url": "https://a.example", "signature": {"scheme": "md5", "algorithm": "rot13", "prefix": 1}}',
    '{"url": "https://a.example", "signature": {"scheme": 1, "algorithm": []}}',
    json.dumps({"url": "https://a.example", "event_patterns": ["a"] * 101}),
    json.dumps({"url": "https://a.example", "headers": {f"X-{n}": "x" for n in range(33)}}),
    # What JSON allows and no type of ours holds.
    r'{"url": "\ud800", "description": "a\udc00b", "secret": 1e400}',
    r'{"url": "https://a.example", "event_patterns": ["a", "\ud800", 1e400]}',
    r'{"url": "https://a.example", "headers": {"a": "\ud800", "b": 1e400}}',
    r'{"url": "https://a.example", "signature": {"header": "\ud800", "prefix": 1e400, "scheme": []}}',
    r'{"url": "https://a.example", "timeout_seconds": 1e400, "max_retries": -1e400}',
    r'{"url": "https://a.example", "timeout_seconds": "1e400", "max_retries": "\ud800"}',
    r'{"url": 1e400, "description": {"\ud800": 1}, "surprise": ["\ud800"]}',
]

QUERIES = ["limit=0", "limit=251", "limit=x", "limit=", "limit=1.5", "limit=99999999999999999999"]


def _serve():
    server = uvicorn.Server(uvicorn.Config(yardstick.app, port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    return server, server.servers[0].sockets[0].getsockname()[1]


def _ask(port, key, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {name: key if value == KEY else value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read()
    answer = json.loads(text) if text else None
    names = ("www-authenticate", "allow")
    return response.status, _essence(answer), {name: response.headers.get(name) for name in names}


def _essence(answer):
    """What must be the same: of faults their place, type and message, the order aside; else the detail."""
    detail = answer.get("detail") if isinstance(answer, dict) else answer
    if not isinstance(detail, list):
        return detail
    faults = [(json.dumps(fault["loc"]), fault["type"], fault["msg"]) for fault in detail]
    return sorted(faults)


def _allow_as_set(headers):
    allow = headers["allow"]
    return {**headers, "allow": allow and frozenset(word.strip() for word in allow.split(","))}


def _schemas(ours, theirs):
    ours, theirs = ours["components"]["schemas"], theirs["components"]["schemas"]
    differences = []
    for name in ("WebhookDeliveryResponse", "HTTPValidationError", "ValidationError"):
        our, their = json.loads(json.dumps(ours[name])), json.loads(json.dumps(theirs[name]))
        our["properties"].pop("attempt_count", None)
        # What this version of FastAPI shows of a fault besides; reference A has neither.
        for extra in ("input", "ctx"):
            their["properties"].pop(extra, None)
        for schema in (our, their):
            schema.pop("description", None)
            schema["required"] = sorted(schema.get("required", []))
            for field in schema["properties"].values():
                field.pop("description", None)
        if our != their:
            differences.append(f"schema {name}:\n    ours   {our}\n    theirs {their}")
    return differences


def _parameters(operation):
    """Parameters by place and name, with whether they are required and what they may be."""
    return {
        (one["in"], one["name"]): (one["required"], {key: value for key, value in one["schema"].items() if key != "title"})
        for one in operation["parameters"]
    }


def _operation(ours, theirs):
    """A's operation: all that FastAPI says of it, we say too. What we say besides must be optional for a client."""
    path = "/v1/webhooks/deliveries/{delivery_id}/replay"
    our, their = (document["paths"].get(path, {}).get("post", {}) for document in (ours, theirs))
    pairs = {"summary": (our["summary"], their["summary"])}
    our_parameters, their_parameters = _parameters(our), _parameters(their)
    for key in our_parameters | their_parameters:
        pairs[key] = (our_parameters.get(key), their_parameters.get(key))
        if key not in their_parameters and not our_parameters[key][0]:
            del pairs[key]
    for status in their["responses"]:
        pairs[status] = (_answer(our, status), _answer(their, status))
    for name in [name for one in their["security"] for name in one]:
        schemes = [document["components"]["securitySchemes"][name] for document in (ours, theirs)]
        pairs[name] = tuple((one["type"], one["flows"]["password"]["tokenUrl"]) for one in schemes)
        pairs[f"{name} is enough"] = (any(set(one) == {name} for one in our["security"]), True)
    return [f"operation, {what}:\n    ours   {our}\n    theirs {their}" for what, (our, their) in pairs.items() if our != their]


def _answer(operation, status):
    """What an answer is called, and its schema by content type."""
    answer = operation["responses"][status]
    return answer["description"], {kind: content["schema"] for kind, content in answer["content"].items()}


def check(stage, _receiver):
    server, port = _serve()
    our_port = urllib.parse.urlsplit(stage.url).port
    requests = list(AUTHENTICATION)
    requests += [("POST", TOKEN, headers, body) for headers, body in FORMS]
    requests += [("POST", ENDPOINTS, {"X-API-Key": KEY, **JSON}, body) for body in BODIES]
    requests += [("GET", f"{ENDPOINTS}?{query}", {"X-API-Key": KEY}, None) for query in QUERIES]
    documents = stage.call("GET", "/openapi.json")[1], yardstick.app.openapi()
    differences = _schemas(*documents) + _operation(*documents)
    for request in requests:
        theirs = _ask(port, "good", *request)
        ours = _ask(our_port, stage.api_key, *request)
        ours, theirs = [(status, detail, _allow_as_set(headers)) for status, detail, headers in (ours, theirs)]
        if ours != theirs:
            differences.append(f"{request}:\n    ours   {ours}\n    theirs {theirs}")
    server.should_exit = True
    assert not differences, "\n  ".join([f"{len(differences)} differences", *differences])
    return f"{len(requests)} requests answered alike, three schemas and the operation the same"
