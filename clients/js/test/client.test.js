// The client, on services that the test plays: no network, and a clock that the test puts forward.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { connect, Link, Room } from "../src/fanline.js";
import { message, Script, turn } from "./scripted.js";

const [PUBLISHER, SUBSCRIBER] = ["wss://publisher.test", "wss://subscriber.test"];
const unreachable = () => Promise.reject(new TypeError("fetch failed"));

/** @type {Script} */
let script;
/** @type {any[]} */
let errors;

beforeEach(() => {
  script = new Script();
  errors = [];
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  mock.method(console, "error", (/** @type {any} */ error) => errors.push(error));
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** @param {any} state @param {Record<string, unknown>} expected What is among it. */
function has(state, expected) {
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, state[name]])), expected);
}

/** @param {number} milliseconds */
async function wait(milliseconds) {
  mock.timers.tick(milliseconds);
  await turn();
}

/** @param {Partial<Parameters<typeof connect>[0]>} [options] */
const subscriber = (options) =>
  connect({ subscribe: SUBSCRIBER, token: "t", WebSocket: script.WebSocket, fetch: unreachable, ...options });
/** @param {Partial<Parameters<typeof connect>[0]>} [options] */
const publisher = (options) =>
  connect({ publish: PUBLISHER, token: "t", WebSocket: script.WebSocket, fetch: unreachable, ...options });

/** @param {import("../src/fanline.js").Subscription} subscription @returns {any[]} What it is given from now on. */
function listen(subscription) {
  /** @type {any[]} */
  const got = [];
  subscription.on("message", ({ seq }) => got.push(seq));
  subscription.on("gap", ({ pattern, ...gap }) => got.push(gap));
  subscription.on("error", (error) => got.push(error));
  return got;
}

test("refuses an address that is none at once", () => {
  for (const address of ["localhost:8082", "", "wss://", "wss://host/path", "ftp://host"]) {
    assert.throws(() => subscriber({ subscribe: address }), TypeError);
  }
  assert.throws(() => connect({ token: "t" }), TypeError);
});

test("takes a slash at the end of an address, and https", async () => {
  subscriber({ subscribe: "https://subscriber.test/" });
  const socket = await script.opened();
  assert.equal(socket.url, `${SUBSCRIBER}/subscribe`);
  assert.deepEqual(socket.protocols, ["fanline.v1", "fanline.token.t"]);
});

test("names the address that is missing", async () => {
  await assert.rejects(subscriber().publish("a", 1), /address to publish/);
  await assert.rejects(publisher().history("a"), /address to subscribe/);
  assert.throws(() => publisher().subscribe("a"), /address to subscribe/);
});

test("rejects at once what the server could not answer", async () => {
  const fanline = connect({ publish: PUBLISHER, subscribe: SUBSCRIBER, WebSocket: script.WebSocket });
  /** @type {any[]} */
  const unwritable = [undefined, () => 1, Symbol("x"), 5n, Number.NaN, [1 / 0], "\ud800", { "\udc00": 1 }];
  for (const content of [...unwritable, new Map(), [undefined], new Uint8Array(2), { a: [new Set()] }]) {
    await assert.rejects(fanline.publish("a", content, { id: "i" }), { code: "bad-message", id: "i" });
  }
  /** @type {any[]} */
  const names = ["orders..x", "", "or ders", "x".repeat(300), 5, null, undefined, "a.\u0007", "\ud800"];
  for (const name of names) {
    await assert.rejects(fanline.publish(name, 1), { code: "bad-topic" });
    assert.throws(() => fanline.subscribe(name), { code: "bad-topic" });
    await assert.rejects(fanline.history(name), { code: "bad-topic" });
  }
  await assert.rejects(fanline.publish("a.*", 1), { code: "bad-topic" });
  assert.throws(() => fanline.subscribe("orders.>.x"), { code: "bad-topic" });
  /** @type {any[]} */
  const starts = [{ after: -1 }, { last: 1.5 }, { after: "1" }, { after: 1, last: 1 }, { epoch: "e" }];
  for (const start of [...starts, { latest: true, last: 1 }]) {
    assert.throws(() => fanline.subscribe("a", start), { code: "bad-command" });
  }
});

test("publishes what JSON has a form for", async () => {
  const fanline = publisher();
  const contents = [null, 0, "é🎉", { a: undefined, b: [new Date(0)] }, [{}], false];
  const answers = contents.map((content) => fanline.publish("$a.b-c", content).catch((error) => error.name));
  const sent = (await script.opened()).take();
  assert.deepEqual(
    sent.map(({ content }) => content),
    JSON.parse(JSON.stringify(contents)),
  );
  fanline.close();
  assert.deepEqual(new Set(await Promise.all(answers)), new Set(["Closed"]));
  await assert.rejects(fanline.publish("a", 1), { name: "Closed" });
});

test("names the trace of a message, if it has one", async () => {
  const fanline = publisher();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const answers = [fanline.publish("a", 1, { id: "x", traceparent }), fanline.publish("a", 2, { id: "y" })];
  const sent = (await script.opened()).take();
  assert.deepEqual(sent, [
    { topic: "a", content: 1, id: "x", traceparent },
    { topic: "a", content: 2, id: "y" },
  ]);
  fanline.close();
  await Promise.allSettled(answers);
});

test("resumes each subscription after its own position", async () => {
  const fanline = subscriber();
  const one = fanline.subscribe("orders.*", { after: 3 });
  const other = fanline.subscribe("orders.eu", { last: 1 });
  const [got, eu] = [listen(one), listen(other)];
  const socket = await script.opened();
  assert.deepEqual(socket.take(), [
    { sub: "orders.*", after: 3 },
    { sub: "orders.eu", last: 1 },
  ]);
  socket.receive({ subscribed: "orders.*", seq: 3, epoch: "e" });
  socket.receive(message("orders.eu", 4), message("orders.us", 5));
  socket.receive({ subscribed: "orders.eu", seq: 3, epoch: "e" }, message("orders.eu", 4));
  socket.receive([message("orders.eu", 6), message("orders.eu", 6)], message("orders.eu", 2));
  assert.equal(await one.ready, 3);
  assert.deepEqual(
    [got, eu],
    [
      [4, 5, 6],
      [4, 6],
    ],
  );
  assert.deepEqual([one.position, one.epoch], [6, "e"]);
  socket.end(1011);
  await wait(200);
  const next = await script.opened(2);
  assert.deepEqual(next.take(), [
    { sub: "orders.*", after: 6, epoch: "e" },
    { sub: "orders.eu", after: 6, epoch: "e" },
  ]);
  const gap = { from: 7, to: 8 };
  next.receive({ subscribed: "orders.*", seq: 6, epoch: "e", gap }, message("orders.us", 8));
  next.receive({ subscribed: "orders.eu", seq: 6, epoch: "e", gap });
  next.receive({ gap: { from: 9, to: 9 } }, message("orders.eu", 10));
  assert.deepEqual(got.slice(3), [gap, 8, { from: 9, to: 9 }, 10]);
  assert.deepEqual(eu.slice(2), [gap, { from: 9, to: 9 }, 10]);
});

test("begins a replaced log from its beginning, and tells so", async () => {
  // line 51
  const fanline = subscriber();
  const got = listen(fanline.subscribe("a.*", { after: 11, epoch: "old" }));
  const socket = await script.opened();
  assert.deepEqual(socket.take(), [{ sub: "a.*", after: 11, epoch: "old" }]);
  socket.receive({ subscribed: "a.*", seq: 0, epoch: "new", gap: { from: 12, to: 30 } }, message("a.b", 1));
  assert.deepEqual(got, [{ from: 12, to: 30, isNewLog: true }, 1]);
  socket.end(1013);
  await wait(200);
  assert.deepEqual((await script.opened(2)).take(), [{ sub: "a.*", after: 1, epoch: "new" }]);
});

test("tells that messages may be missing where a queue keeps no positions", async () => {
  const fanline = subscriber();
  const got = listen(fanline.subscribe("a"));
  (await script.opened()).receive({ subscribed: "a" });
  script.sockets[0].end(1011);
  await wait(200);
  const next = await script.opened(2);
  assert.deepEqual(next.take(), [{ sub: "a" }]);
  next.receive({ subscribed: "a" });
  assert.deepEqual(got, [{}]);
});

test("has newest values on a connection of their own where the pattern is in use", async () => {
  const fanline = subscriber();
  const all = listen(fanline.subscribe("a.*"));
  const [values, same] = [1, 2].map(() => listen(fanline.subscribe("a.*", { latest: true })));
  const others = listen(fanline.subscribe("b.*", { latest: true }));
  const one = await script.opened(1);
  const two = await script.opened(2);
  assert.deepEqual(one.take(), [{ sub: "a.*" }, { sub: "b.*", latest: true }]);
  assert.deepEqual(two.take(), [{ sub: "a.*", latest: true }]);
  two.receive({ subscribed: "a.*", seq: 3, latest: 9 }, message("a.x", 4), message("a.y", 9));
  one.receive({ subscribed: "a.*", seq: 9 }, { subscribed: "b.*", seq: 9, latest: 9 }, message("a.x", 10));
  assert.deepEqual([all, values, same, others], [[10], [4, 9], [4, 9], []]);
  fanline.pause();
  assert.equal(fanline.state.phase, "paused");
  fanline.close();
});

test("ends one handle of a pattern, and keeps the others", async () => {
  const fanline = subscriber();
  const one = fanline.subscribe("a");
  const other = fanline.subscribe("a");
  const [got, others] = [listen(one), listen(other)];
  const socket = await script.opened();
  assert.deepEqual(socket.take(), [{ sub: "a" }]);
  socket.receive({ subscribed: "a", seq: 1 }, message("a", 2));
  one.close();
  assert.deepEqual(socket.take(), []);
  socket.receive(message("a", 3));
  other.close();
  assert.deepEqual(socket.take(), [{ unsub: "a" }]);
  socket.receive(message("a", 4));
  assert.deepEqual([got, others], [[2], [2, 3]]);
});

test("takes no answer to a closed handle for one to its successor", async () => {
  const fanline = subscriber();
  const socket = await script.opened();
  fanline.subscribe("a").close();
  const again = fanline.subscribe("a", { after: 0 });
  const got = listen(again);
  assert.deepEqual(socket.take(), [{ sub: "a" }, { unsub: "a" }, { sub: "a", after: 0 }]);
  socket.receive({ subscribed: "a", seq: 29_700 }, { unsubscribed: "a" });
  socket.receive({ subscribed: "a", seq: 0 }, message("a", 1), message("a", 2));
  assert.equal(await again.ready, 0);
  assert.deepEqual(got, [1, 2]);
});

test("hands messages to a loop, those too that came before it", async () => {
  const fanline = subscriber();
  const subscription = fanline.subscribe("a");
  const socket = await script.opened();
  socket.receive({ subscribed: "a", seq: 0 }, message("a", 1));
  await subscription.ready;
  const seen = [];
  for await (const { seq } of subscription) {
    seen.push(seq);
    if (seq < 3) {
      setImmediate(() => socket.receive(message("a", seq + 1)));
    } else {
      break;
    }
  }
  assert.deepEqual(seen, [1, 2, 3]);
  assert.ok(subscription.isClosed);
  assert.deepEqual(socket.take().at(-1), { unsub: "a" });
});

test("ends a loop with the error that ends its subscription", async () => {
  const fanline = subscriber();
  const refused = fanline.subscribe("a");
  const loop = (async () => {
    for await (const _ of refused);
  })();
  (await script.opened()).receive({ error: "forbidden", reason: "no", sub: "a" });
  await assert.rejects(loop, { name: "Rejected", code: "forbidden" });
  const closed = fanline.subscribe("b");
  setImmediate(() => closed.close());
  for await (const _ of closed);
});

test("closes a handle by its signal, and takes back a message", async () => {
  const fanline = connect({ publish: PUBLISHER, subscribe: SUBSCRIBER, WebSocket: script.WebSocket });
  const ending = new AbortController();
  const { signal } = ending;
  const subscription = fanline.subscribe("a", { signal });
  const message = fanline.publish("a", 1, { id: "i", signal });
  ending.abort();
  await assert.rejects(subscription.ready, { name: "Closed" });
  await assert.rejects(message, { name: "AbortError" });
  await assert.rejects(fanline.publish("a", 1, { signal }), { name: "AbortError" });
  assert.ok(fanline.subscribe("a", { signal }).isClosed);
  assert.deepEqual((await script.opened(1)).take(), []);
  assert.deepEqual((await script.opened(2)).take(), []);
});

test("tells of a refusal on the handle, or in the console where none looks", async () => {
  const fanline = subscriber();
  const awaited = fanline.subscribe("a").ready;
  fanline.subscribe("b");
  const later = fanline.subscribe("c");
  const got = listen(later);
  fanline.subscribe("d").close();
  const socket = await script.opened();
  socket.receive(
    { error: "forbidden", reason: "no", sub: "a" },
    { error: "forbidden", reason: "no b", sub: "b" },
  );
  await assert.rejects(awaited, { code: "forbidden" });
  assert.deepEqual(
    errors.map((error) => error.message),
    ["no b"],
  );
  socket.receive({ subscribed: "c", seq: 1 });
  socket.end(1001);
  await wait(200);
  const next = await script.opened(2);
  assert.deepEqual(next.take(), [{ sub: "c", after: 1 }]);
  next.receive({ error: "forbidden", reason: "no c", sub: "c" });
  assert.deepEqual([got[0].code, later.isClosed], ["forbidden", true]);
  next.end(1001);
  await wait(500);
  assert.deepEqual((await script.opened(3)).take(), []);
  script.sockets[2].receive({ error: "too-big", reason: "all of it" });
  assert.equal(errors.at(-1).code, "too-big");
  const last = fanline.subscribe("d");
  fanline.close(); // is no news
  assert.deepEqual([errors.at(-1).code, last.isClosed], ["too-big", true]);
});

test("goes on after a mistake in a callback", async () => {
  const fanline = subscriber();
  fanline.on("state", () => {
    throw new Error("mistake");
  });
  const subscription = fanline.subscribe("a", { after: 0 });
  subscription.on("message", () => {
    throw new Error("mistake");
  });
  const got = listen(subscription);
  const socket = await script.opened();
  assert.deepEqual(socket.take(), [{ sub: "a", after: 0 }]);
  socket.receive({ subscribed: "a", seq: 0 }, message("a", 1), message("a", 2));
  assert.deepEqual(got, [1, 2]);
});

test("pauses, and resumes where it was", async () => {
  const fanline = connect({ publish: PUBLISHER, subscribe: SUBSCRIBER, WebSocket: script.WebSocket });
  const got = listen(fanline.subscribe("a"));
  await script.opened(1);
  const socket = await script.opened(2);
  socket.receive({ subscribed: "a", seq: 5 }, message("a", 6));
  fanline.pause();
  fanline.pause();
  assert.equal(fanline.state.phase, "paused");
  const ack = fanline.publish("a", 7, { id: "i" });
  socket.receive(message("a", 7));
  await wait(60_000);
  assert.equal(script.sockets.length, 2);
  fanline.resume();
  (await script.opened(3)).receive({ ok: "i", seq: 7 });
  assert.deepEqual(script.sockets[2].take(), [{ topic: "a", content: 7, id: "i" }]);
  const again = await script.opened(4);
  assert.equal(fanline.state.phase, "open");
  assert.deepEqual(again.take(), [{ sub: "a", after: 6 }]);
  again.receive({ subscribed: "a", seq: 6 }, message("a", 7));
  assert.deepEqual([(await ack).seq, got], [7, [6, 7]]);
});

test("resends what has no ack, in order, without one that is too big", async () => {
  const fanline = publisher();
  const answers = ["a", "b", "c", "d"].map((id) =>
    fanline.publish("orders", id === "d" ? "x".repeat(50) : id, { id }).catch((error) => error.code),
  );
  const first = await script.opened();
  assert.deepEqual(
    first.take().map(({ id }) => id),
    ["a", "b", "c", "d"],
  );
  first.receive({ ok: "a", seq: 1 }, { error: "rate-limited", reason: "too many", id: "b", retry_ms: 150 });
  await wait(200);
  const second = await script.opened(2);
  assert.deepEqual(
    second.take().map(({ id }) => id),
    ["b", "c", "d"],
  );
  second.end(1009);
  await wait(500);
  const third = await script.opened(3);
  assert.deepEqual(
    third.take().map(({ id }) => id),
    ["b", "c"],
  );
  third.receive([
    { ok: "b", seq: 2, duplicate: true },
    { ok: "c", seq: 3 },
  ]);
  assert.deepEqual(await Promise.all(answers), [
    { id: "a", seq: 1, duplicate: false },
    { id: "b", seq: 2, duplicate: true },
    { id: "c", seq: 3, duplicate: false },
    "too-big",
  ]);
});

test("sends nothing on a connection that is closing", async () => {
  const fanline = publisher();
  const socket = await script.opened();
  socket.readyState = 2;
  const ack = fanline.publish("a", 1, { id: "i" });
  await turn();
  socket.end(1001);
  await wait(200);
  const next = await script.opened(2);
  next.receive({ ok: "i", seq: 1 });
  assert.equal((await ack).seq, 1);
});

test("comes back when a server says, and after a silence", async () => {
  const fanline = subscriber();
  fanline.subscribe("a", { after: 0 });
  const first = await script.opened();
  first.receive({ subscribed: "a", seq: 0 }, { drain: { retry_ms: 4_000 } });
  first.end(1001);
  await wait(3_500);
  assert.equal(script.sockets.length, 1);
  await wait(1_000);
  const second = await script.opened(2);
  second.take();
  second.receive({ subscribed: "a", seq: 0 }, message("a", 7));
  await wait(20_500);
  assert.deepEqual(second.take(), [{ sub: "a" }]);
  second.receive({ subscribed: "a", seq: 7 });
  await wait(19_000);
  assert.equal(fanline.state.isDoubtful, undefined);
  await wait(2_000); // 21 s of silence: a probe
  await wait(10_000);
  assert.match(fanline.state.reason, /does not answer/);
  await wait(200);
  assert.deepEqual((await script.opened(3)).take(), [{ sub: "a", after: 7 }]);
});

test("connects at once when the device is back online", async () => {
  const device = new EventTarget();
  globalThis.addEventListener = /** @type {any} */ (device.addEventListener.bind(device)); // Node has none
  const fanline = subscriber();
  (await script.opened()).receive({ drain: { retry_ms: 60_000 } });
  script.sockets[0].end(1001);
  await turn();
  assert.equal(fanline.state.phase, "waiting");
  device.dispatchEvent(new Event("online"));
  await script.opened(2);
  assert.equal(fanline.state.phase, "open");
  device.dispatchEvent(new Event("offline")); // nothing is subscribed to, so there is nothing to ask
  fanline.subscribe("a");
  device.dispatchEvent(new Event("offline"));
  assert.equal(fanline.state.isDoubtful, true);
  fanline.close();
  Reflect.deleteProperty(globalThis, "addEventListener");
});

test("gives up after codes that are final, and rejects what is pending", async () => {
  for (const code of [1008, 4001]) {
    script = new Script();
    const fanline = subscriber();
    const { ready } = fanline.subscribe("a");
    (await script.opened()).end(code, "enough");
    await assert.rejects(ready, { name: "Closed", code, message: "enough" });
    await wait(60_000);
    assert.equal(script.sockets.length, 1);
    await assert.rejects(fanline.subscribe("b").ready, { name: "Closed", code });
  }
});

/** @param {number} status @param {object} problem @param {Record<string, string>} [headers] */
const answer = (status, problem, headers) => async () =>
  new Response(JSON.stringify(problem), { status, headers });

test("asks why a connection could not be opened", async () => {
  /** @type {[ReturnType<typeof answer>, Record<string, unknown>][]} */
  const cases = [
    [answer(401, {}), { phase: "closed", code: 4001 }],
    [answer(403, { detail: "pages of 'x' may not" }), { phase: "closed", reason: "pages of 'x' may not" }],
    [answer(503, { detail: "it stops" }, { "Retry-After": "7" }), { phase: "waiting", reason: "it stops" }],
    [unreachable, { phase: "waiting", reason: "the server cannot be reached" }],
  ];
  for (const [fetch, expected] of cases) {
    script = new Script();
    const fanline = subscriber({ fetch });
    await turn();
    script.sockets[0].end(1006);
    await turn();
    has(fanline.state, expected);
    fanline.close();
  }
});

test("reads the refusal of a foreign origin, for which no preflight is allowed", async () => {
  const fetch = async (/** @type {any} */ _, /** @type {any} */ { headers }) =>
    headers.Authorization ? unreachable() : answer(403, { detail: "the setting allowed_origins" })();
  const fanline = subscriber({ fetch });
  await turn();
  script.sockets[0].end(1006);
  await turn();
  has(fanline.state, { phase: "closed", reason: "the setting allowed_origins" });
});

test("goes on when the server starts while it asks why there is no connection", async () => {
  const fetch = async (/** @type {any} */ _, /** @type {any} */ { headers }) =>
    headers.Authorization ? unreachable() : answer(401, {})();
  const fanline = subscriber({ fetch });
  await turn();
  script.sockets[0].end(1006);
  await turn();
  has(fanline.state, { phase: "waiting", reason: "the server cannot be reached" });
  fanline.close();
});

test("asks once for a token for each connection, and goes on after a refused one", async () => {
  let count = 0;
  const token = async () => `t${++count}`;
  const fanline = subscriber({ token, fetch: answer(401, {}) });
  await turn();
  script.sockets[0].end(1006);
  await turn();
  has(fanline.state, { phase: "waiting", code: 4001 });
  assert.match(fanline.state.reason, /login is not valid/);
  await wait(200);
  assert.deepEqual(script.sockets[1].protocols, ["fanline.v1", "fanline.token.t2"]);
  const failing = subscriber({ token: () => Promise.reject(new Error("no token today")) });
  await turn();
  has(failing.state, { phase: "waiting", reason: "no token today" });
});

test("renews the token of an open connection before it expires", async () => {
  /** @param {number} seconds @returns {string} A token that expires then. */
  const jwt = (seconds) => `.${btoa(JSON.stringify({ exp: Date.now() / 1000 + seconds }))}.`;
  const lives = [100, 50, 0, 1_000, 1_000];
  const token = async () => {
    const life = lives.shift();
    assert.ok(life, "there is none today");
    return jwt(life);
  };
  const fanline = publisher({ token });
  const socket = await script.opened();
  await wait(79_000);
  assert.deepEqual(socket.take(), []);
  await wait(1_000);
  assert.deepEqual(socket.take(), [{ token: jwt(50) }]);
  socket.receive({ token: { error: "unauthorized", reason: "the token has expired" } });
  await wait(40_000); // none can be fetched
  assert.deepEqual(socket.take(), []);
  await wait(10_000);
  assert.deepEqual(socket.take(), [{ token: jwt(1_000) }]);
  socket.receive({ token: { expires: 1 } });
  has(fanline.state, { phase: "open" });
  fanline.close();
  await wait(1_000_000);
  assert.deepEqual(lives, [1_000]);
  assert.deepEqual(errors, []);
});

test("leaves nothing open when it is closed while it connects", async () => {
  /** @type {(token: string) => void} */
  let give = () => {};
  const fanline = subscriber({
    token: () =>
      new Promise((resolve) => {
        give = resolve;
      }),
  });
  await turn();
  fanline.close();
  give("t");
  await turn();
  assert.equal(script.sockets[0].readyState, 2);
  await wait(60_000);
  assert.equal(script.sockets.length, 1);
});

test("reads pages of the log", async () => {
  /** @type {any[]} */
  const asked = [];
  const fetch = async (/** @type {any} */ url, /** @type {any} */ { headers }) => {
    asked.push(url, headers);
    const { messages, ...more } = {
      messages: [message("a.b", 31)],
      "Fanline-Epoch": "e",
      "Fanline-Gap": "12-30",
    };
    return new Response(JSON.stringify(messages), { headers: more });
  };
  const fanline = subscriber({ fetch });
  const page = await fanline.history("a.*", { after: 11, limit: 5 });
  assert.deepEqual(asked, [
    "https://subscriber.test/topics/a.*/messages?after=11&limit=5",
    { Authorization: "Bearer t" },
  ]);
  assert.deepEqual(page, { messages: [message("a.b", 31)], gap: { from: 12, to: 30 }, epoch: "e" });
  const refused = subscriber({ fetch: answer(403, { code: "forbidden", detail: "no" }) });
  await assert.rejects(refused.history("a"), { name: "Rejected", code: "forbidden", message: "no" });
});

test("has a room's messages wait for its own joined", async () => {
  const fake = mock.method(globalThis, "fetch", unreachable);
  const real = globalThis.WebSocket;
  globalThis.WebSocket = /** @type {any} */ (script.WebSocket);
  try {
    /** @type {number[][]} */
    const got = [];
    const room = new Room("wss://chat.test", "lobby", {
      token: "t",
      onEvents: (events) => got.push(events.map(({ seq }) => seq)),
    });
    const [one, two] = ["one", "two"].map((text, n) => room.say(text, { id: `${n}` }));
    const first = await script.opened();
    assert.equal(first.url, "wss://chat.test/api/serve/lobby");
    assert.deepEqual(first.take(), []);
    const event = (/** @type {number} */ seq, more = {}) => ({ seq, type: "chat", ...more });
    first.receive(event(5, { type: "joined", self: true }));
    await turn();
    assert.deepEqual(first.take(), [
      { message: "one", id: "0" },
      { message: "two", id: "1" },
    ]);
    first.receive([event(6), event(6), { ok: "0", seq: 6 }, event(7)]);
    assert.deepEqual(await one, { id: "0", seq: 6 });
    first.end(1011);
    await wait(200);
    const second = await script.opened(2);
    assert.equal(second.url, "wss://chat.test/api/serve/lobby?after=7");
    second.receive(event(10, { type: "joined", self: true }), [event(7), event(8)], event(9), event(11));
    await turn();
    second.receive({ type: "failed", id: "1", reason: "no disk" });
    await assert.rejects(two, { code: "failed", message: "no disk" });
    assert.deepEqual(got, [[5], [6, 7], [10], [8], [9], [11]]);
    room.close();
  } finally {
    globalThis.WebSocket = real;
    fake.mock.restore();
  }
});

test("goes on trying where a connection cannot even be made", async () => {
  const link = new Link({
    dial: () => {
      throw new SyntaxError("not an address");
    },
    onFrame: () => {},
  });
  await turn();
  has(link.state, { phase: "waiting", reason: "not an address" });
  link.close();
});
