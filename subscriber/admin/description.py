"""The API of the status page, as OpenAPI describes it."""

from typing import Any, Final

from fanline.protocol import MAX_POSITION
from fanline.server import answer, ref, refusals
from fanline.server.front.description import count, query
from fanline.server.status.series import KEPT
from subscriber.admin.api import AT, MAX_ADMIN_LIMIT, ConsumerPage, PlaygroundToken
from subscriber.admin.installation import ServiceList
from subscriber.admin.log_search import FoundMessages, TopicPage

TYPES: Final = (ServiceList, FoundMessages, TopicPage, ConsumerPage, PlaygroundToken)

_TEXT: Final = {"type": "string", "maxLength": 256}
_POSITION: Final = count(MAX_POSITION)
_LIMIT: Final = count(MAX_ADMIN_LIMIT)
_REFUSALS: Final = refusals(400, 401, 403, 404, 429, 503)
_BASIC: Final[list[dict[str, list[str]]]] = [{"basic": []}]


def _operation(summary: str, found: type, **parameters: Any) -> dict[str, Any]:
    return {
        "summary": summary,
        "security": _BASIC,
        "parameters": query(**parameters),
        "responses": {"200": answer(summary, "application/json", ref(found.__name__)), **_REFUSALS},
    }


def _passed_on(what: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("service", "path")
    ]
    found = answer("What the service answers.", "application/json", {})
    return {
        "summary": f"Pass {what} on to a service.",
        "security": _BASIC,
        "parameters": parameters,
        "responses": {"200": found, "201": found, **_REFUSALS},
    }


ADMIN_PATHS: Final = {
    "/admin/services": {
        "get": _operation("Tell how all services do.", ServiceList, samples=count(KEPT)),
    },
    "/admin/topics": {
        "get": _operation(
            "List topics, each with its newest message.",
            TopicPage,
            pattern=_TEXT,
            after=_POSITION,
            until=_POSITION,
            limit=_LIMIT,
        ),
    },
    "/admin/messages": {
        "get": _operation(
            "Search the log, newest message first.",
            FoundMessages,
            topic=_TEXT,
            user=_TEXT,
            id=_TEXT,
            position=_POSITION,
            before=_POSITION,
            limit=_LIMIT,
        ),
    },
    "/admin/consumers": {"get": _operation("List the durable consumers.", ConsumerPage)},
    "/admin/token": {"post": _operation("Issue a token for the playground.", PlaygroundToken)},
    AT: {"get": _passed_on("a question"), "post": _passed_on("a command")},
}
