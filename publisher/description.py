"""The HTTP side of the publisher service, as OpenAPI describes it."""

from typing import Any, Final

from fanline.server import answer, ref, refusals

_TOPIC: Final = {
    "name": "topic",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "maxLength": 255},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The id of the message: sent again with the same id, it is stored once.",
    "schema": {"type": "string", "maxLength": 128},
}
_TRACE: Final = {
    "name": "traceparent",
    "in": "header",
    "description": "The trace that the message belongs to (W3C Trace Context); delivered with it.",
    "schema": {"type": "string", "maxLength": 55},
}
_JSON, _LINES, _TEXT = "application/json", "application/x-ndjson", "text/plain"
_ACK: Final = ref("Ack")
_OUTCOMES: Final = {"type": "array", "items": {"anyOf": [_ACK, ref("Refusal")]}}
_REFUSALS: Final = refusals(400, 401, 403, 408, 413, 415, 429, 503)
_MESSAGES: Final = {"anyOf": [ref("NewMessage"), {"type": "array", "items": ref("NewMessage")}]}


def _post(summary: str, contents: dict[str, Any], answers: Any, **more: Any) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": schema} for kind, schema in contents.items()},
            },
            "responses": {
                "201": answer("On disk.", _JSON, answers),
                "200": answer("All of it was stored before.", _JSON, answers),
                **_REFUSALS,
            },
            **more,
        }
    }


_REVOCATION: Final = {
    "type": "object",
    "properties": {"jti": {"type": "string"}, "user": {"type": "string"}, "before": {"type": "number"}},
}

PATHS: Final = {
    "/topics/{topic:path}/messages": _post(
        "Publish one message.",
        {_JSON: {}, _TEXT: {"type": "string"}},
        _ACK,
        parameters=[_TOPIC, _KEY, _TRACE],
    ),
    "/messages": _post("Publish messages.", {_JSON: _MESSAGES, _LINES: {"type": "string"}}, _OUTCOMES),
    "/admin/disconnect": _post(
        "Close the connections of a user.",
        {_JSON: {"type": "object", "properties": {"user": {"type": "string"}}, "required": ["user"]}},
        _ACK,
    ),
    "/admin/revocations": _post("Refuse a token, or older tokens of a user.", {_JSON: _REVOCATION}, _ACK),
}
