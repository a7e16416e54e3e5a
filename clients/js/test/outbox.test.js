import assert from "node:assert/strict";
import { test } from "node:test";
import { Outbox } from "../src/outbox.js";

/** @param {Outbox} outbox @param {...string} ids */
const add = (outbox, ...ids) => ids.map((id) => outbox.add(id, JSON.stringify(id)));
/** @param {Outbox} outbox */
const sent = (outbox) => [...outbox.frames()].flatMap((frame) => JSON.parse(frame));

test("sends messages in order, together, once", () => {
  const outbox = new Outbox();
  add(outbox, "a", "b");
  assert.deepEqual([...outbox.frames()], ['["a","b"]']);
  assert.deepEqual([...outbox.frames()], []);
  add(outbox, "c");
  assert.deepEqual([...outbox.frames()], ['"c"']);
});

test("settles each message with its own answer", async () => {
  const outbox = new Outbox();
  const [a, b] = add(outbox, "a", "b");
  outbox.reject("b", new Error("no"));
  outbox.acknowledge("a", 7);
  outbox.acknowledge("unknown", 8);
  assert.equal(await a, 7);
  await assert.rejects(b, { message: "no" });
  assert.ok(outbox.isEmpty);
});

test("takes a known id for the same message", () => {
  const outbox = new Outbox();
  const [one, other] = add(outbox, "a", "a");
  assert.equal(one, other);
  assert.deepEqual(sent(outbox), ["a"]);
});

test("resends everything unanswered after a rewind, in order", () => {
  const outbox = new Outbox();
  add(outbox, "a", "b", "c");
  sent(outbox);
  outbox.acknowledge("b", 1);
  outbox.rewind();
  add(outbox, "d");
  assert.deepEqual(sent(outbox), ["a", "c", "d"]);
});

test("has at most a thousand messages without an answer", () => {
  const outbox = new Outbox();
  const ids = Array.from({ length: 1_500 }, (_, number) => `${number}`);
  add(outbox, ...ids);
  assert.deepEqual(sent(outbox), ids.slice(0, 1_000));
  outbox.acknowledge("3", 1);
  outbox.acknowledge("5", 1);
  assert.deepEqual(sent(outbox), ["1000", "1001"]);
  outbox.acknowledge("1400", 1); // answered without having been sent: the window does not grow
  assert.deepEqual(sent(outbox), []);
});

test("keeps frames small, and sends a large message alone", () => {
  const outbox = new Outbox();
  for (const [id, size] of Object.entries({ a: 10_000, b: 6_000, c: 1_000, d: 50_000, e: 1 })) {
    outbox.add(id, `"${"x".repeat(size)}"`);
  }
  const sizes = [...outbox.frames()].map((frame) => [JSON.parse(frame)].flat().map((text) => text.length));
  assert.deepEqual(sizes, [[10_000, 6_000], [1_000], [50_000], [1]]);
});

test("rejects the largest message that was sent", async () => {
  const outbox = new Outbox();
  const [, long] = add(outbox, "a", "long", "b");
  sent(outbox);
  const [, longer] = add(outbox, "c", "longer and not sent");
  outbox.rejectLargest();
  await assert.rejects(long, { name: "Rejected", code: "too-big", id: "long" });
  outbox.rewind();
  assert.deepEqual(sent(outbox), ["a", "b", "c", "longer and not sent"]);
  outbox.rejectLargest();
  await assert.rejects(longer, { name: "Rejected", code: "too-big" });
});

test("rejects every message at the end", async () => {
  const outbox = new Outbox();
  const all = add(outbox, "a", "b");
  outbox.rejectAll(new Error("over"));
  assert.deepEqual(
    (await Promise.allSettled(all)).map(({ status }) => status),
    ["rejected", "rejected"],
  );
  assert.ok(outbox.isEmpty);
});
