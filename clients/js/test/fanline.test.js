// In Node, as in a worker, there is no document, and the global object takes no listeners.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import * as fanline from "../src/fanline.js";

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
  const unreachable = "the server cannot be reached";
  assert.equal(await firstFailure((onState) => new fanline.Publisher(url, { token, onState })), unreachable);
  assert.equal(await firstFailure((onState) => new fanline.Subscriber(url, { token, onState })), unreachable);
  const room = (/** @type {any} */ onState) =>
    new fanline.Room(url, "lobby", { token, onState, onEvents: () => {} });
  assert.equal(await firstFailure(room), unreachable);
});

test("rejects what is pending when it is closed", async () => {
  const publisher = new fanline.Publisher(url, { token: "t" });
  const answer = publisher.publish("a", 1);
  publisher.close();
  await assert.rejects(answer, { name: "Closed" });
  await assert.rejects(publisher.publish("a", 1), { name: "Closed" });
  assert.equal(publisher.state.phase, "closed");
});

test("gives up on a token that has expired", async () => {
  const token = `x.${btoa(JSON.stringify({ exp: 1, jti: "j" }))}.x`;
  assert.deepEqual(fanline.claims(token), { exp: 1, jti: "j" });
  assert.deepEqual(fanline.claims("nonsense"), {});
  const subscriber = new fanline.Subscriber(url, { token });
  await assert.rejects(
    subscriber.subscribe("a", () => {}),
    { name: "Closed", code: 4001 },
  );
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
