"""The descriptions for programs are valid, complete, and true of the frames that the docs show."""

import json
import re
import ssl
from typing import Any

import httpx
import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stubs import DEADLINE
from tests.test_docs import exchanges


@pytest.fixture
async def services(start_service: StartService) -> list[Service]:
    """The three services of the pipeline."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    return [
        queue,
        await start_service(open_publisher, queue_url=url),
        await start_service(open_subscriber, queue_url=url),
    ]


async def get(service: Service, path: str, tls: ssl.SSLContext) -> Any:
    async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=DEADLINE) as client:
        return (await client.get(f"https://localhost:{service.port}{path}")).raise_for_status().json()


async def test_http_is_described_as_openapi(services: list[Service], tls: ssl.SSLContext) -> None:
    """Each service serves a valid document, which has its paths and no other."""
    common = {"/healthz", "/readyz", "/metrics", "/admin/status", "/admin/connections"}
    for service in services:
        document = await get(service, "/openapi.json", tls)
        jsonschema_rs.validate(OPENAPI_31, document)
        app = service.app
        routes = {*app.pages, *app.posts, *app.streams}
        assert set(document["paths"]) == common | {re.sub(r":\w+}", "}", route) for route in routes}
        check_references(document, document)


async def test_websockets_are_described_as_asyncapi(services: list[Service], tls: ssl.SSLContext) -> None:
    """Each endpoint is a channel, and every frame that docs/protocol.md shows fits one of its messages."""
    shown = [each for each in exchanges() if not each.is_plain]
    for service in services:
        document = await get(service, "/asyncapi.json", tls)
        assert document["asyncapi"] == "3.0.0"
        check_references(document, document)
        channels = {each["address"]: each for each in document["channels"].values()}
        assert channels.keys() == service.app.endpoints.keys()
        held = [each for each in shown if each.endpoint in channels]
        assert {each.endpoint for each in held} == channels.keys()
        for exchange in held:
            actions = schemas_by_action(document, exchange.endpoint)
            for sent, received in exchange.turns:
                check_frames(document, sent, actions["receive"])
                for frame in received:
                    assert fits(document, frame | {"time": 1, "epoch": "e"}, actions["send"]), frame


def schemas_by_action(document: dict[str, Any], address: str) -> dict[str, list[str]]:
    name = address.removeprefix("/")
    found: dict[str, list[str]] = {"receive": [], "send": []}
    for operation in document["operations"].values():
        if operation["channel"]["$ref"] == f"#/channels/{name}":
            found[operation["action"]] += [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
    return found


def check_frames(document: dict[str, Any], sent: str | None, names: list[str]) -> None:
    """Check what a client sends, where it is JSON in the spelling of fanline.v1."""
    if sent is None or not sent.startswith(("{", "[")) or '"Topic"' in sent:
        return
    frames = json.loads(sent)
    for frame in frames if isinstance(frames, list) else [frames]:
        assert fits(document, frame, names), frame


def fits(document: dict[str, Any], frame: Any, names: list[str]) -> bool:
    schema = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return bool(jsonschema_rs.is_valid(schema | {"components": document["components"]}, frame))


def check_references(document: dict[str, Any], part: Any) -> None:
    """Check that every reference leads to something in the document."""
    if isinstance(part, list):
        for each in part:
            check_references(document, each)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            found = document
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
        for each in part.values():
            check_references(document, each)
