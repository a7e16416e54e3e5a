"""Descriptions of a service for programs: OpenAPI 3.1 and AsyncAPI 3.0.

No I/O. OpenAPI describes the HTTP side, AsyncAPI the WebSockets. The schemas of frames are those of the types
that decode and encode them.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from fanline.protocol import Ack, GapRange, Message, NewMessage, Refusal
from fanline.server.app import App, Endpoint
from fanline.server.status.report import MAX_LISTED, ConnectionPage, ServiceStatus, installed_version
from fanline.server.status.series import KEPT

Document = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"


class Problem(msgspec.Struct):
    """The answer to a request that is refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def ref(name: str) -> Document:
    """Return a reference to the schema of a type."""
    return {"$ref": f"{_SCHEMAS}{name}"}


def answer(description: str, media_type: str, schema: Mapping[str, Any]) -> Document:
    """Return the description of an answer."""
    return {"description": description, "content": {media_type: {"schema": schema}}}


def query(**schemas: Any) -> list[Document]:
    """Return the descriptions of parameters of the query, with their schemas."""
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def count(most: int) -> Document:
    """Return the schema of a number from 0 to ``most``."""
    return {"type": "integer", "minimum": 0, "maximum": most}


def refusals(*statuses: int) -> Document:
    """Return the descriptions of refusals, each with a problem."""
    return {str(status): {"$ref": "#/components/responses/Problem"} for status in statuses}


_TYPES: Final = (NewMessage, Message, Ack, Refusal, GapRange, Problem, ServiceStatus, ConnectionPage)
_TEXT: Final = answer("A sentence.", "text/plain", {"type": "string"})
_COMMON: Final[Document] = {
    "/healthz": {
        "get": {
            "summary": "Tell that the process serves requests.",
            "security": [],
            "responses": {"200": _TEXT},
        }
    },
    "/readyz": {
        "get": {
            "summary": "Tell whether the service can do its work.",
            "security": [],
            "responses": {"200": _TEXT, "503": _TEXT},
        }
    },
    "/metrics": {
        "get": {
            "summary": "Return metrics in the text format of Prometheus.",
            "security": [{"basic": []}],
            "responses": {"200": _TEXT, **refusals(401, 403, 429)},
        }
    },
    "/admin/status": {
        "get": {
            "summary": "Tell how the service does, with measurements of the last half hour.",
            "security": [{"basic": []}],
            "parameters": query(samples=count(KEPT)),
            "responses": {
                "200": answer("Its status.", "application/json", ref("ServiceStatus")),
                **refusals(400, 401, 403, 429),
            },
        }
    },
    "/admin/connections": {
        "get": {
            "summary": "List open connections, those that the most bytes wait for first.",
            "security": [{"basic": []}],
            "parameters": query(user={"type": "string"}, skip=count(10_000), limit=count(MAX_LISTED)),
            "responses": {
                "200": answer("Some of them.", "application/json", ref("ConnectionPage")),
                **refusals(400, 401, 403, 429),
            },
        }
    },
}
_SECURITY: Final = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}


def path_in_openapi(route: str) -> str:
    """Return the path of a route of Starlette as OpenAPI spells it."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", route)


def describe_http(app: App) -> Document:
    """Return the OpenAPI document of a service."""
    return {
        "openapi": "3.1.0",
        "info": _info("HTTP"),
        "security": [{"basic": []}, {"bearer": []}],
        "paths": _COMMON | {path_in_openapi(path): item for path, item in app.descriptions.items()},
        "components": {
            "schemas": _schemas(*_TYPES, *app.described_types),
            "securitySchemes": _SECURITY,
            "responses": {"Problem": answer("Refused.", "application/problem+json", ref("Problem"))},
        },
    }


def describe_websockets(app: App) -> Document:
    """Return the AsyncAPI document of a service, in the dialect ``fanline.v1``."""
    endpoints = {path: each for path, each in app.endpoints.items() if isinstance(each, Endpoint)}
    types = dict.fromkeys(kind for each in endpoints.values() for kind in (*each.receives, *each.sends))
    return {
        "asyncapi": "3.0.0",
        "info": _info("WebSockets: the dialect fanline.v1, offered as Sec-WebSocket-Protocol"),
        "defaultContentType": "application/json",
        "channels": {_name(path): _channel(path, each) for path, each in endpoints.items()},
        "operations": {
            f"{action}{kind.__name__}On{_name(path).title()}": _operation(action, path, kind)
            for path, each in endpoints.items()
            for action, kinds in (("receive", each.receives), ("send", each.sends))
            for kind in kinds
        },
        "components": {"schemas": _schemas(*types), "securitySchemes": _SECURITY},
    }


def _info(what: str) -> Document:
    return {"title": f"Fanline: {what}", "version": installed_version()}


def _name(path: str) -> str:
    return path.removeprefix("/")


def _channel(path: str, endpoint: Endpoint) -> Document:
    kinds = (*endpoint.receives, *endpoint.sends)
    messages = {kind.__name__: {"payload": ref(kind.__name__)} for kind in kinds}
    return {"address": path, "messages": messages, "bindings": {"ws": {"method": "GET"}}}


def _operation(action: str, path: str, kind: type) -> Document:
    channel = f"#/channels/{_name(path)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"}],
    }


@cache  # of types alone, and services of one process have most of them in common
def _schemas(*types: type) -> Document:
    _, components = msgspec.json.schema_components(types, ref_template=_SCHEMAS + "{name}")
    for schema in components.values():
        schema["description"] = schema.get("description", "").partition("\n\n")[0].replace("`", "")
    return components
