// In Node, as in a worker, there is no document, and the global object takes no listeners.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import * as fanline from "../src/fanline.js";

const UNREACHABLE = "the server cannot be reached";

/** A server that closes every connection. */
const server = createServer((socket) => socket.destroy());
let url = "";

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  url = `ws://127.0.0.1:${typeof address === "object" && address?.port}`;
});
after(() => server.close());

/** @param {(onState: (state: fanline.State) => void) => {close(): void}} open */
async function firstFailure(open) {
  /** @type {fanline.State} */
  const state = await new Promise((resolve) => {
    const client = open((state) => {
      if (state.phase === "waiting") {
        client.close();
        resolve(state);
      }
    });
  });
  return state.reason;
}

test("connects, retries and closes without a document", async () => {
  const token = "t";
  assert.equal(await firstFailure((onState) => new fanline.Publisher(url, { token, onState })), UNREACHABLE);
  assert.equal(await firstFailure((onState) => new fanline.Subscriber(url, { token, onState })), UNREACHABLE);
  const room = (/** @type {any} */ onState) =>
    new fanline.Room(url, "lobby", { token, onState, onEvents: () => {} });
  assert.equal(await firstFailure(room), UNREACHABLE);
});

test("rejects what is pending when it is closed", async () => {
  const publisher = new fanline.Publisher(url, { token: "t" });
  const answer = publisher.publish("a", 1);
  publisher.close();
  await assert.rejects(answer, { name: "Closed" });
  await assert.rejects(publisher.publish("a", 1), { name: "Closed" });
  assert.equal(publisher.state.phase, "closed");
});

test("reads the claims of a token", () => {
  const token = `x.${btoa(JSON.stringify({ exp: 1, jti: "j" }))}.x`;
  assert.deepEqual(fanline.claims(token), { exp: 1, jti: "j" });
  assert.deepEqual(fanline.claims("nonsense"), {});
});

test("leaves it to the server whether a token has expired: clocks differ", async () => {
  const strict = createHttpServer((_, response) => response.writeHead(401).end());
  strict.listen(0, "127.0.0.1");
  await once(strict, "listening");
  const address = strict.address();
  const at = `ws://127.0.0.1:${typeof address === "object" && address?.port}`;
  const token = `x.${btoa(JSON.stringify({ exp: 1 }))}.x`;
  assert.equal(await firstFailure((onState) => new fanline.Publisher(url, { token, onState })), UNREACHABLE);
  const subscriber = new fanline.Subscriber(at, { token });
  await assert.rejects(
    subscriber.subscribe("a", () => {}),
    { name: "Closed", code: 4001 },
  );
  strict.close();
});

test("rejects at once what the server could not answer", async () => {
  const publisher = new fanline.Publisher(url, { token: "t" });
  const subscriber = new fanline.Subscriber(url, { token: "t" });
  /** @type {any[]} */
  const unwritable = [undefined, () => 1, Symbol("x"), 5n, Number.NaN, [1 / 0], "\ud800", { "\udc00": 1 }];
  for (const content of [...unwritable, new Map(), [undefined], new Uint8Array(2), { a: [new Set()] }]) {
    await assert.rejects(publisher.publish("a", content, { id: "i" }), { code: "bad-message", id: "i" });
  }
  /** @type {any[]} */
  const names = ["orders..x", "", "or ders", "x".repeat(300), 5, null, "a.\u0007", "\ud800"];
  for (const name of names) {
    await assert.rejects(publisher.publish(name, 1), { code: "bad-topic" });
    await assert.rejects(
      subscriber.subscribe(name, () => {}),
      { code: "bad-topic" },
    );
  }
  await assert.rejects(publisher.publish("a.*", 1), { code: "bad-topic" });
  await assert.rejects(
    subscriber.subscribe("orders.>.x", () => {}),
    { code: "bad-topic" },
  );
  /** @type {any[]} */
  const starts = [{ after: -1 }, { last: 1.5 }, { after: "1" }, { after: 1, last: 1 }];
  for (const start of starts) {
    await assert.rejects(
      subscriber.subscribe("a", () => {}, start),
      { code: "bad-command" },
    );
  }
  publisher.close();
  subscriber.close();
});

test("publishes what JSON has a form for", async () => {
  const publisher = new fanline.Publisher(url, { token: "t" });
  const contents = [null, 0, "é🎉", { a: undefined, b: [new Date(0)] }, [{}], false];
  const answers = contents.map((content) => publisher.publish("$a.b-c", content));
  publisher.close();
  for (const answer of answers) {
    await assert.rejects(answer, { name: "Closed" }); // accepted, and pending until the end
  }
});

test("reports an address that is none, and goes on trying", async () => {
  const open = (/** @type {any} */ onState) =>
    new fanline.Link({ url: () => "not an address", onFrame: () => {}, onState });
  assert.match(await firstFailure(open), /not an address|URL/);
});

test("matches patterns as the server does", () => {
  for (const [pattern, topic, expected] of /** @type {[string, string, boolean][]} */ ([
    ["a.b", "a.b", true],
    ["a.b", "a.b.c", false],
    ["a.b.c", "a.b", false],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["*.b", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    [">", "a.b", true],
    [">", "$a", false],
    ["*.b", "$a.b", false],
    ["$a.>", "$a.b", true],
  ])) {
    assert.equal(fanline.matches(pattern, topic), expected, `${pattern} ${topic}`);
  }
});

test("doubles delays up to five seconds", () => {
  const backoff = new fanline.Backoff();
  const delays = Array.from({ length: 9 }, () => backoff.next());
  backoff.reset();
  delays.push(backoff.next());
  for (const [index, nominal] of [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 100].entries()) {
    assert.ok(nominal / 2 <= delays[index] && delays[index] <= nominal, `${delays[index]} of ${nominal}`);
  }
  assert.ok(new Set(delays).size > 5);
});
