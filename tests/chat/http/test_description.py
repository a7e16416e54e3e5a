"""What the server says of itself is so: schemathesis tries out what the description allows, and more."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.chat.client import ChatClient
from tests.chat.conftest import StartChatProcess

EXAMPLES = 6

Operation = APIOperation[Any, Any, Any, Any]

usual = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


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

    with suppress(Unsatisfiable):  # nothing can be wrong with a request that has nothing in it
        call()


async def test_the_description_is_true(start_chat_process: StartChatProcess, cert_dir: Path) -> None:
    """Every answer, to what is allowed and to what is not, is one that the description has."""
    chat = await start_chat_process()
    schema = schemathesis.openapi.from_dict((await chat.http.get("/openapi.json")).json())
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in GenerationMode:
            token = (await chat.http.post("/guest")).json()["token"]
            await asyncio.to_thread(try_out, operation, mode, chat, token, cert_dir / "ca.crt")
