"""The alert rules, fired by breaking real services; Prometheus' own promtool evaluates them."""

import asyncio
import json
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import certs
from certs.authority import Pair, issue
from certs.names import parse_names
from fanline.protocol import NewMessage
from fanline.queue.remote import RemoteQueue
from fanline.security.tls import SERVER_CERT, SERVER_KEY, read_certificates, read_key
from fanline.server import Service
from fanline.settings import Settings
from fanline.tasks import running_task
from msgqueue.app import open_msgqueue
from msgqueue.clock import LogClock
from msgqueue.metrics import show_cluster
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.choice import EngineChoice
from msgqueue.store.figures import ClusterFigures
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, WallClock, receive_objects, until
from tests.deploy.test_grafana import FOLDER, rules
from tests.msgqueue.store.sqlite.conftest import damage
from tests.stubs import DEADLINE

pytestmark = pytest.mark.long

# Minutes of the time that promtool makes up: as it is, then broken.
HEALTHY, BROKEN = 15, 30

_COUNTERS = ("_total", "_bucket", "_count", "_sum")

Labels = tuple[str, tuple[tuple[str, str], ...]]
Scrape = dict[Labels, float]


async def scrape(*services: Service | int) -> Scrape:
    """Return what Prometheus gets from the listeners of metrics, given by their ports or services."""
    found: Scrape = {}
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:
        for number, service in enumerate(services):
            where = (("instance", f"i{number}"), ("job", "fanline"))
            port = service if isinstance(service, int) else service.metrics_port
            try:
                text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                found["up", where] = 0
                continue
            found["up", where] = 1
            found |= read_metrics(text, where)
    return found


def read_metrics(text: str, where: tuple[tuple[str, str], ...]) -> Scrape:
    """Return the metrics in a text, with the labels that Prometheus adds."""
    return {
        (sample.name, (*where, *sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def series(healthy: Scrape, before: Scrape, after: Scrape) -> Iterator[dict[str, str]]:
    """Yield series as promtool spells them: the first scrape, then what grows from second to third."""
    now = time.time()
    for key in healthy | after:
        if key not in after:
            continue
        name, labels = key
        last = after[key]
        first = healthy.get(key, 0 if name.endswith(_COUNTERS) else last)
        step = last - before.get(key, last)
        if "timestamp" in name:  # the time of promtool begins at 0
            first, last, step = first - now, last - now, 0
        spelled = ",".join(f"{label}={json.dumps(value)}" for label, value in labels)
        values = f"{first}+0x{HEALTHY - 1} {last}{step:+}x{BROKEN}"
        yield {"series": f"{name}{{{spelled}}}", "values": values}


def check(folder: Path, alert: str, healthy: Scrape, before: Scrape, after: Scrape) -> None:
    """Have promtool evaluate the rules: no alert while healthy, then this one."""
    promtool = shutil.which("promtool")
    assert promtool, "`make verify-alerts` installs promtool, which comes with Debian's prometheus"
    fires = f'count(ALERTS{{alertstate="firing",alertname="{alert}"}})'
    expected = [
        {"expr": expr, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": value}]}
        for expr, minute, value in (
            ('count(ALERTS{alertstate="firing"}) or vector(0)', HEALTHY - 1, 0),
            (fires, HEALTHY + BROKEN - 1, 1),
        )
    ]
    test = {
        "rule_files": [str(FOLDER / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [*series(healthy, before, after)],
                "promql_expr_test": expected,
            }
        ],
    }
    path = folder / "alerts-test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Pipeline:
    """Starts services with metrics, and queues to append with."""

    def __init__(self, start: StartService, make_settings: Callable[..., Settings]) -> None:
        self._start = start
        self._make_settings = make_settings

    async def queue(self, open_app: Any = open_msgqueue, **settings: Any) -> Service:
        return await self._start(open_app, msgqueue_metrics_port=0, **settings)

    async def edge(self, open_app: Any, url: str, **settings: Any) -> Service:
        port = f"{open_app.__name__.removeprefix('open_')}_metrics_port"
        return await self._start(open_app, queue_url=url, **{port: 0}, **settings)

    @asynccontextmanager
    async def appending(self, url: str) -> Any:
        queue = RemoteQueue.from_settings(self._make_settings(queue_url=url))
        async with running_task(queue.run()):
            yield queue


@pytest.fixture
def pipeline(start_service: StartService, make_settings: Callable[..., Settings]) -> Pipeline:
    return Pipeline(start_service, make_settings)


def url_of(service: Service) -> str:
    return f"wss://localhost:{service.port}"


async def append(queue: RemoteQueue, count: int) -> None:
    for _ in range(count):
        queue.append(NewMessage("orders.eu", msgspec.Raw(b'"xxxx"')), None)
    await queue.flush()


async def test_a_service_that_is_down(pipeline: Pipeline, tmp_path: Path) -> None:
    """A service that does not answer is told (line 56)."""
    queue = await pipeline.queue()
    port = queue.metrics_port or 0
    healthy = await scrape(port)
    await queue.stop()
    down = await scrape(port)
    check(tmp_path, "FanlineDown", healthy, down, down)


async def test_messages_that_wait(pipeline: Pipeline, dial: Dial, tmp_path: Path) -> None:
    """A publisher that has lost its msgqueue holds messages (line 56)."""
    queue = await pipeline.queue()
    publisher = await pipeline.edge(open_publisher, url_of(queue), queue_wait=600)
    healthy = await scrape(publisher)
    client = await dial(publisher, "/publish")
    await queue.stop()
    await client.send('{"topic": "a", "content": 1}')
    held = "fanline_messages_in_flight"
    await until(lambda: bool(publisher.app.metrics.get_sample_value(held)))
    waiting = await scrape(publisher)
    check(tmp_path, "FanlineMessagesWait", healthy, waiting, await scrape(publisher))


async def test_damaged_messages(pipeline: Pipeline, dial: Dial, tmp_path: Path) -> None:
    """Damage that is come upon is told (line 56)."""
    queue = await pipeline.queue()
    async with pipeline.appending(url_of(queue)) as appending:
        await append(appending, 3)
    healthy = await scrape(queue)
    await queue.stop()
    damage(tmp_path / "data", 2)
    queue = await pipeline.queue()
    client = await dial(queue, "/popmsg")
    await client.send('{"pop": {"after": 1}}')
    await receive_objects(client, 3)
    check(tmp_path, "FanlineMessagesDamaged", healthy, healthy, await scrape(queue))


async def test_a_subscriber_that_lags(pipeline: Pipeline, tmp_path: Path) -> None:
    """A subscriber service a thousand messages behind the log is told (line 56)."""
    queue = await pipeline.queue()
    subscriber = await pipeline.edge(open_subscriber, url_of(queue))
    healthy = await scrape(queue, subscriber)
    frozen = await scrape(subscriber)
    async with pipeline.appending(url_of(queue)) as appending:
        await append(appending, 1_001)
    # Another subscriber of the same log stands still: as the first one was before.
    lagging = await scrape(queue) | {
        (name, (("instance", "i1"), *labels[1:])): value for (name, labels), value in frozen.items()
    }
    check(tmp_path, "FanlineSubscriberBehind", healthy, lagging, lagging)


async def test_a_consumer_that_lags(pipeline: Pipeline, dial: Dial, tmp_path: Path) -> None:
    """A durable consumer that is stopped while messages come is told (line 56)."""
    queue = await pipeline.queue()
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop": {"consumer": "billing"}}')
    await popper.recv()
    await popper.close()
    healthy = await scrape(queue)
    async with pipeline.appending(url_of(queue)) as appending:
        await append(appending, 100_001)
    behind = await scrape(queue)
    check(tmp_path, "FanlineConsumerBehind", healthy, behind, behind)


async def test_dead_letters(pipeline: Pipeline, dial: Dial, tmp_path: Path) -> None:
    """A message at which a consumer fails too often is told (line 56)."""
    queue = await pipeline.queue(max_deliveries=1)
    healthy = await scrape(queue)
    popper = await dial(queue, "/popmsg")
    await popper.send('{"pop": {"consumer": "billing"}}')
    await popper.recv()
    async with pipeline.appending(url_of(queue)) as appending:
        await append(appending, 1)
    await popper.recv()
    await popper.close()
    await until(lambda: bool(queue.app.metrics.get_sample_value("fanline_dead_letters_total")))
    check(tmp_path, "FanlineDeadLetters", healthy, healthy, await scrape(queue))


async def test_a_slow_disk(pipeline: Pipeline, make_settings: Callable[..., Any], tmp_path: Path) -> None:
    """Commits that take more than half a second are told (line 56)."""

    async def open_slowly(folder: Path, **how: Any) -> Any:
        store = await EngineChoice(make_settings(MsgQueueSettings)).open(folder, **how)
        quick = store.append

        async def append_slowly(*messages: Any, **more: Any) -> Any:
            await asyncio.sleep(0.7)
            return await quick(*messages, **more)

        store.append = append_slowly  # type: ignore[method-assign]
        return store

    queue = await pipeline.queue(partial_of(open_slowly))
    healthy = await scrape(queue)
    async with pipeline.appending(url_of(queue)) as appending:
        await append(appending, 1)
    check(tmp_path, "FanlineCommitsSlow", healthy, healthy, await scrape(queue))


def partial_of(open_store: Any = None, make_clock: Callable[[], LogClock] = LogClock) -> Any:
    @asynccontextmanager
    async def opened(settings: MsgQueueSettings) -> Any:
        async with open_msgqueue(settings, open_store, make_clock) as app:
            yield app

    return opened


async def test_a_busy_event_loop(pipeline: Pipeline, tmp_path: Path) -> None:
    """A service that does its work late is told (line 56)."""
    queue = await pipeline.queue()
    healthy = await scrape(queue)
    lag = "fanline_event_loop_lag_seconds_bucket"
    began = time.monotonic()
    while not late(await scrape(queue), healthy, lag):
        time.sleep(1.5)
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < DEADLINE
    check(tmp_path, "FanlineEventLoopSlow", healthy, healthy, await scrape(queue))


def late(now: Scrape, before: Scrape, name: str) -> bool:
    """Return whether the loop was seen to be late three times."""
    grown = {dict(labels)["le"]: now[key, labels] - before[key, labels] for key, labels in now if key == name}
    return grown["+Inf"] - grown["0.2"] >= 3


async def test_a_clock_that_jumps(pipeline: Pipeline, tmp_path: Path) -> None:
    """A jump of the machine's clock is told until it is accepted (line 56)."""
    wall = WallClock()
    queue = await pipeline.queue(partial_of(make_clock=lambda: LogClock(wall)))
    healthy = await scrape(queue)
    wall.offset = 7_200
    jumped = await scrape(queue)
    check(tmp_path, "FanlineClockJumped", healthy, jumped, jumped)


async def test_a_certificate_that_expires(pipeline: Pipeline, tmp_path: Path) -> None:
    """A certificate is told two weeks before, and one that cannot be used at once (line 56)."""
    folder = tmp_path / "certs"
    certs.ensure(folder)
    queue = await pipeline.queue(cert_dir=folder)
    healthy = await scrape(queue)
    authority = Pair(read_certificates(folder / "ca.crt")[0], read_key(folder / "ca.key"))  # type: ignore[arg-type]
    old = issue(authority, parse_names(["localhost"]), datetime.now(UTC) - timedelta(days=390))
    (folder / SERVER_CERT).write_bytes(old.certificate_pem())
    (folder / SERVER_KEY).write_bytes(old.key_pem())
    queue.reload(lambda _: queue.settings)
    expiring = await scrape(queue)
    check(tmp_path, "FanlineCertificateExpires", healthy, expiring, expiring)
    (folder / SERVER_KEY).write_text("nonsense")
    queue.reload(lambda _: queue.settings)
    broken = await scrape(queue)
    check(tmp_path, "FanlineReloadProblem", healthy, broken, broken)


async def test_files_that_run_out(pipeline: Pipeline, tmp_path: Path) -> None:
    """A service that has nearly all of its files open is told (line 56)."""
    queue = await pipeline.queue()
    healthy = await scrape(queue)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        is_open = queue.app.metrics.get_sample_value
        while (is_open("process_open_fds") or 0) < 190:
            stack.enter_context(Path("/dev/null").open())
        full = await scrape(queue)
    check(tmp_path, "FanlineFilesRunOut", healthy, full, full)


@pytest.mark.parametrize(
    ("alert", "broken"),
    [
        ("FanlineMsgqueueStopped", {"is_stopped": True}),
        ("FanlineJournalSilent", {"wait": 30.0}),
        ("FanlineMsgqueueAlone", {"msgqueues": 1}),
    ],
)
def test_a_cluster_in_trouble(tmp_path: Path, alert: str, broken: dict[str, Any]) -> None:
    """A msgqueue that is stopped, hears nothing or is alone is told, by its figures (line 56)."""

    def shown(figures: ClusterFigures) -> Scrape:
        registry = CollectorRegistry()
        show_cluster(registry, lambda: figures)
        return read_metrics(generate_latest(registry).decode(), (("instance", "i0"), ("job", "fanline")))

    healthy = ClusterFigures(msgqueues=2)
    after = shown(replace(healthy, **broken))
    check(tmp_path, alert, shown(healthy), after, after)


def test_every_alert_is_fired() -> None:
    """Each rule has a test here that breaks something for it."""
    text = Path(__file__).read_text()
    assert all(f'"{rule["alert"]}"' in text for rule in rules())
