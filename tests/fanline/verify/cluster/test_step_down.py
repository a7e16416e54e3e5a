"""The leader of a stream hands over."""

import ssl
from pathlib import Path

import pytest

from fanline.verify.cluster.step_down import step_down
from msgqueue.journal.jetstream import JetStreamJournal
from msgqueue.journal.session import NatsLogin
from tests.msgqueue.journal.nats_cluster import PASSWORD, NatsCluster


@pytest.mark.long
@pytest.mark.timeout(200)
async def test_another_server_leads(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """When it is asked for, by any of the servers; one that is not there is no error (line 60)."""
    servers = NatsCluster(tmp_path, cert_dir, tls)
    try:
        await servers.start_all()
        login = NatsLogin(tls, "fanline", PASSWORD)
        journal = await JetStreamJournal.open(
            servers.urls, "HANDED", login, max_bytes=1 << 20, max_payload=1 << 20, timeout=60
        )
        await journal.close()
        leader = await servers.leader("HANDED")
        while await servers.leader("HANDED") == leader:
            await step_down(servers.urls[0], tls, PASSWORD, "HANDED")
        await step_down("tls://localhost:1", tls, PASSWORD, "HANDED")
    finally:
        servers.stop()
