import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { drop, isSafe, keep, kept, update } from "../../../../chat/static/model/outbox.js";
import { emptyStorage } from "./storage.js";

/** @param {string} id @param {number} written */
const entry = (id, written, room = "lobby", author = "Ada") => ({
  id,
  author,
  login: "one",
  room,
  text: `text of ${id}`,
  written,
});

beforeEach(emptyStorage);

test("keeps messages in the order of writing", () => {
  localStorage.setItem("fanline.name", "Ada");
  const [a, b, c] = [entry("a", 3), entry("b", 1), entry("c", 2, "other")];
  for (const each of [a, b, c]) {
    keep(each);
  }
  assert.deepEqual(kept("Ada"), [b, c, a]);
  assert.deepEqual(kept("Ada", "lobby"), [b, a]);
  update({ ...b, failure: "no" });
  drop(a);
  update({ ...a, failure: "no" });
  assert.deepEqual(kept("Ada", "lobby"), [{ ...b, failure: "no" }]);
});

test("keeps the messages of several people apart", () => {
  const [a, b] = [entry("a", 1), entry("b", 2, "lobby", "Ben")];
  keep(a);
  keep(b);
  assert.deepEqual(kept("Ada"), [a]);
  assert.deepEqual(kept("Ben"), [b]);
  assert.deepEqual(kept("Eve"), []);
});

test("passes over what cannot be read", () => {
  keep(entry("a", 1));
  localStorage.setItem("fanline.outbox.b", "{broken");
  localStorage.setItem("fanline.outbox.c", "null");
  localStorage.setItem("fanline.outbox.d", '{"author":"Ada","text":5}');
  assert.deepEqual(kept("Ada"), [entry("a", 1)]);
});

test("keeps a message as long as the page where the browser takes nothing", () => {
  localStorage.setItem = () => {
    throw new Error("full");
  };
  keep(entry("a", 1));
  assert.deepEqual(kept("Ada"), [entry("a", 1)]);
  drop(entry("a", 1));
  assert.deepEqual(kept("Ada"), []);
});

test("sends unasked only within the memory of ids, under the login that wrote it", () => {
  const message = entry("a", 1);
  assert.ok(isSafe(message, "one"));
  assert.ok(!isSafe(message, "other"));
  const tried = { ...message, tried: Date.now() - 60_000 };
  assert.ok(isSafe(tried, "one"));
  assert.ok(!isSafe(tried, "other"));
  assert.ok(!isSafe({ ...tried, tried: Date.now() - 9 * 60_000 }, "one"));
});
