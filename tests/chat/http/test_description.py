"""The OpenAPI description is complete and true: schemathesis tries valid and invalid requests."""

import asyncio
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.chat.client import ChatClient
from tests.chat.conftest import StartChatProcess

EXAMPLES = 2

Operation = APIOperation[Any, Any, Any, Any]

usual = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


def try_out(operation: Operation, mode: GenerationMode, chat: ChatClient, token: str, ca: Path) -> None:
    """Call an operation in many ways, and hold each answer against the description."""

    @usual
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Case[Any]) -> None:
        case.call_and_validate(
            base_url=f"https://localhost:{chat.server.port}",
            headers={"Authorization": f"Bearer {token}"},
            verify=str(ca),
            # That there is no such page, or no such name, is beyond what a schema can say.
            excluded_checks=[positive_data_acceptance],
        )

    call()


def modes(operation: Operation) -> list[GenerationMode]:
    """Return how to call an operation; a part of its path, which is any text, cannot be wrong."""
    can_be_wrong = [*operation.query, *operation.headers, *operation.body]
    return [*GenerationMode] if can_be_wrong else [GenerationMode.POSITIVE]


async def test_the_description_is_complete(chat: ChatClient) -> None:
    """Every operation has an id, a sentence, the answers it may give, and whether it needs a login."""
    description = (await chat.http.get("/openapi.json")).json()
    operations = [
        (path, operation) for path, methods in description["paths"].items() for operation in methods.values()
    ]
    ids = [operation["operationId"] for _, operation in operations]
    assert len(set(ids)) == len(ids) > 15
    for path, operation in operations:
        assert operation["description"].endswith((".", ";"))
        assert "422" not in operation["responses"]
        assert operation["responses"]["default"]["content"]["application/problem+json"]["schema"][
            "$ref"
        ].endswith("/Problem")
        if path.startswith(("/api/room", "/history", "/logout")):
            assert {"bearer": []} in operation["security"]
            assert {"parameter": []} in operation["security"]
            assert ({} in operation["security"]) == path.startswith("/api/")


async def test_the_documentation_is_a_page_of_our_own(chat: ChatClient) -> None:
    """The page for people shows every operation, without a script, and without anything from elsewhere."""
    page = await chat.http.get("/docs")
    paths = (await chat.http.get("/openapi.json")).json()["paths"]
    assert all(f" {path}</code>" in page.text for path in paths)
    assert "<script" not in page.text
    assert "`" not in page.text
    assert "<main>" in page.text
    assert "Successful" not in page.text
    example = '[{"roomId":"lobby","roomName":"Coral Otter","creatorId":"f4c8a1d09be1","creatorName":"Ada"'
    assert f"<code>{escape(example)}" in page.text
    assert not re.search(r"https?://", page.text)
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]


# The services in this process use `random` as well, on the event loop, while hypothesis draws in a thread.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_the_description_is_true(start_chat_process: StartChatProcess, cert_dir: Path) -> None:
    """Every answer, to what is allowed and to what is not, is one that the description has."""
    chat = await start_chat_process()
    schema = schemathesis.openapi.from_dict((await chat.http.get("/openapi.json")).json())
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in modes(operation):
            token = (await chat.http.post("/guest")).json()["token"]
            await asyncio.to_thread(try_out, operation, mode, chat, token, cert_dir / "ca.crt")
