"""The HTTP side of the subscriber service, as OpenAPI describes it."""

from typing import Any, Final

from fanline.server import answer, ref, refusals
from subscriber.http import events, history, presence

_TOPIC: Final = {
    "name": "topic",
    "in": "path",
    "required": True,
    "description": "A topic or pattern.",
    "schema": {"type": "string", "maxLength": 255},
}
_TOPICS: Final = {
    "name": "topic",
    "in": "query",
    "required": True,
    "description": "A topic or pattern; several may be given.",
    "schema": {"type": "array", "items": {"type": "string"}},
}
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Resume after this event.",
    "schema": {"type": "string"},
}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_REFUSALS: Final = refusals(400, 401, 403, 429, 503)


def _query(**schemas: Any) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


_TEXT: Final = {"type": "string"}
_START: Final = _query(
    after=_NUMBER, epoch=_TEXT, last=_NUMBER, latest=_TEXT, presence=_TEXT, **{"as": _TEXT}, token=_TEXT
)
_PAGE: Final = _query(
    after=_NUMBER,
    before=_NUMBER,
    last=_NUMBER,
    limit={"type": "integer", "minimum": 1, "maximum": history.MAX_MESSAGES},
    token=_TEXT,
)
_STREAM: Final = answer("Server-sent events, each with a message.", "text/event-stream", {"type": "string"})


def _get(summary: str, parameters: list[dict[str, Any]], found: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"summary": summary, "parameters": parameters, "responses": {"200": found, **_REFUSALS}}}


_ONE, _MANY = events.PATHS

PATHS: Final = {
    history.PATH: _get(
        "Return a page of the log, oldest message first.",
        [_TOPIC, *_PAGE],
        answer("The page.", "application/json", {"type": "array", "items": ref("Message")}),
    ),
    presence.PRESENCE_PATH: _get(
        "Return who is present on a topic.",
        [_TOPIC, *_query(token=_TEXT)],
        answer("Who is present.", "application/json", ref("PresenceList")),
    ),
    _ONE: _get("Follow a topic or pattern.", [_TOPIC, *_START, _LAST_EVENT_ID], _STREAM),
    _MANY: _get("Follow several topics or patterns.", [_TOPICS, *_START, _LAST_EVENT_ID], _STREAM),
}
