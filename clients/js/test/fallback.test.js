// Where no WebSocket gets through, requests stand in for it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { EventTranslator } from "../src/fallback.js";
import { connect } from "../src/fanline.js";

test("translates events, however they are cut", () => {
  const stream =
    "retry: 2904\nid: 41-e1\n\n" +
    'id: 42-e1\ndata: {"topic":"a","content":[1,\ndata: 2],"seq":42}\n\n' +
    ':\n\nevent: gap\ndata: {"from":43,"to":60}\n\nretry: 700\n\nevent: end\ndata: {"code":1001,"reason":"it stops"}\n\n';
  for (const size of [1, 7, 1_000]) {
    const translator = new EventTranslator("a.*");
    const parts = stream.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    const frames = parts.flatMap((part) => translator.translate(part)).map((frame) => JSON.parse(frame));
    assert.deepEqual(frames, [
      { subscribed: "a.*", seq: 41, epoch: "e1" },
      { topic: "a", content: [1, 2], seq: 42 },
      { gap: { from: 43, to: 60, topic: "a.*" } },
      { drain: { retry_ms: 700 } },
    ]);
    assert.deepEqual(translator.end, { code: 1001, reason: "it stops" });
  }
});

test("tells the gap of a log that was replaced from one of this log", () => {
  const translator = new EventTranslator("a", "old");
  const gap = 'event: gap\ndata: {"from":12,"to":30}\n\n';
  const [subscribed, ofOldLog, ofThis] = translator.translate(`id: 0-new\n\n${gap}${gap}`);
  assert.deepEqual(JSON.parse(subscribed), { subscribed: "a", seq: 0, epoch: "new" });
  assert.equal(JSON.parse(ofOldLog).gap.isOfOldLog, true);
  assert.equal(JSON.parse(ofThis).gap.isOfOldLog, undefined);
});

/** Messages that a stand-in of both services has, one topic. */
class Service {
  /** @type {any[]} */
  log = [];
  /** @type {Set<import("node:http").ServerResponse>} */
  streams = new Set();
  /** @type {string[]} */
  requests = [];
  isAway = false;

  server = createServer(async (request, response) => {
    const { method, url = "" } = request;
    this.requests.push(`${method} ${url} ${request.headers.authorization}`);
    if (this.isAway) {
      response.writeHead(503, { "Retry-After": "0" }).end("{}");
    } else if (method === "POST") {
      const [body] = await request.toArray();
      const messages = [JSON.parse(body)].flat();
      const answers = messages.map((each) => this.store(each));
      const isRefused = answers.some(({ error }) => error);
      response.writeHead(isRefused ? 403 : 201);
      response.end(
        JSON.stringify(isRefused ? { code: "forbidden", detail: "", messages: answers } : answers),
      );
    } else if (url.includes("/events")) {
      const query = new URLSearchParams(url.split("?")[1]);
      const after = Number(query.get("after") ?? this.log.length);
      response.write(`retry: 1\nid: ${after}-e1\n\n`);
      response.write(this.log.slice(after).map(written).join(""));
      this.streams.add(response);
      response.on("close", () => this.streams.delete(response));
    } else {
      response.writeHead(426).end();
    }
  });

  /** @param {any} message */
  store(message) {
    if (message.topic === "secret") {
      return { error: "forbidden", reason: "no", id: message.id };
    }
    const known = this.log.find(({ id }) => id === message.id);
    const stored = known ?? { ...message, seq: this.log.length + 1 };
    if (!known) {
      this.log.push(stored);
      for (const stream of this.streams) {
        stream.write(written(stored));
      }
    }
    return { ok: message.id, seq: stored.seq };
  }
}

/** @param {any} message */
const written = (message) => `id: ${message.seq}-e1\ndata: ${JSON.stringify(message)}\n\n`;

const service = new Service();
let url = "";

before(async () => {
  service.server.listen(0, "127.0.0.1");
  await once(service.server, "listening");
  const address = service.server.address();
  url = `ws://127.0.0.1:${typeof address === "object" && address?.port}`;
});
after(() => service.server.close());

/** A WebSocket that never gets through. */
class Blocked {
  /** @type {((event: any) => void) | null} */
  onclose = null;
  readyState = 0;

  constructor() {
    setImmediate(() => this.onclose?.({ code: 1006, reason: "" }));
  }

  addEventListener() {}
  close() {}
}

test("publishes and subscribes by HTTP where no WebSocket gets through", { timeout: 30_000 }, async () => {
  const fanline = connect({ publish: url, subscribe: url, token: "t", WebSocket: Blocked });
  const subscription = fanline.subscribe("a", { after: 0 });
  /** @type {any[]} */
  const got = [];
  subscription.on("message", ({ content }) => got.push(content));
  const acks = ["x", "y", "z"].map((content) => fanline.publish("a", content));
  assert.deepEqual(
    (await Promise.all(acks)).map(({ seq }) => seq),
    [1, 2, 3],
  );
  await assert.rejects(fanline.publish("secret", 1), { code: "forbidden" });
  assert.equal(await subscription.ready, 0);
  assert.ok(service.requests.includes("GET /topics/a/events?after=0 Bearer t"));
  const [first] = service.streams;
  first.destroy();
  const last = fanline.publish("a", "last");
  const more = fanline.subscribe("a", { after: 3 });
  for await (const { content } of more) {
    assert.equal(content, "last");
    break;
  }
  assert.equal((await last).seq, 4);
  while (got.length < 4) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(got, ["x", "y", "z", "last"]);
  fanline.close();
  while (service.streams.size > 0) {
    await new Promise((resolve) => setImmediate(resolve)); // they are closed
  }
});

test("publishes again what was refused for a while, and what no WebSocket is there for", {
  timeout: 30_000,
}, async () => {
  service.isAway = true;
  const real = globalThis.WebSocket;
  // @ts-expect-error Node 20 has none.
  delete globalThis.WebSocket;
  try {
    const fanline = connect({ publish: url });
    const ack = fanline.publish("a", "again", { id: "again" });
    while (fanline.state.phase !== "waiting") {
      await new Promise((resolve) => setImmediate(resolve));
    }
    service.isAway = false;
    assert.equal((await ack).id, "again");
    fanline.close();
  } finally {
    globalThis.WebSocket = real;
  }
});
