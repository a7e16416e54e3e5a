"""Attacks within all limits on services of this process, and a well-behaved client."""

import asyncio
import ssl
from pathlib import Path

from fanline.client import Publisher, Subscriber
from fanline.security.users import User, UsersFile
from fanline.tasks import cancel_and_wait, running_task
from fanline.verify.hostile.attacks import ATTACKS
from fanline.verify.hostile.target import Target
from fanline.verify.hostile.witness import WITNESS_TOPIC, Witness
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService, until
from tests.stubs import DEADLINE


async def test_attacks_harm_no_other_client(
    start_service: StartService, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """During every attack a well-behaved client gets all of its messages, in order (line 47).

    How long it waits is for `fanline verify --hostile` to judge, on a quiet machine.
    """
    users = UsersFile(tmp_path / "users")
    for name in ("hello", "good", "bad"):
        users.put(User(name, is_service=name == "hello"), "test", cost=4)
    queue = await start_service(open_msgqueue, users_file=users.path)
    link = {"queue_url": f"wss://localhost:{queue.port}", "users_file": users.path}
    publisher = await start_service(open_publisher, **link)
    subscriber = await start_service(open_subscriber, **link)
    target = Target(publisher.port, subscriber.port, "bad", "test", tls)
    async with (
        Publisher(f"wss://localhost:{publisher.port}", user="good", password="test", tls=tls) as sending,
        Subscriber(
            url=f"wss://localhost:{subscriber.port}", user="good", password="test", tls=tls
        ) as reading,
    ):
        await reading.subscribe(WITNESS_TOPIC)
        witness = Witness(sending, reading)
        async with running_task(witness.receive()):
            async with running_task(witness.publish()):
                for attack in ATTACKS.values():
                    attacking = asyncio.ensure_future(attack(target))
                    wanted = witness.received + 3
                    await until(lambda wanted=wanted: witness.received >= wanted)  # type: ignore[misc]
                    assert not attacking.done()
                    await cancel_and_wait(attacking)
            async with asyncio.timeout(DEADLINE):
                await witness.finish()
    assert witness.troubles == []
    assert witness.received == witness.published >= 3 * len(ATTACKS)
