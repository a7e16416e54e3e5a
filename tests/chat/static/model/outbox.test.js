import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { drop, isSafe, keep, kept } from "../../../../chat/static/model/outbox.js";
import { emptyStorage } from "./storage.js";

/** @param {string} id @param {number} written */
const entry = (id, written, room = "lobby") => ({ id, room, text: `text of ${id}`, written });

beforeEach(emptyStorage);

test("keeps messages in the order of writing", () => {
  localStorage.setItem("fanline.name", "Ada");
  const [a, b, c] = [entry("a", 3), entry("b", 1), entry("c", 2, "other")];
  for (const each of [a, b, c]) {
    keep(each);
  }
  assert.deepEqual(kept(), [b, c, a]);
  assert.deepEqual(kept("lobby"), [b, a]);
  keep({ ...b, failure: "no" });
  drop(a);
  assert.deepEqual(kept("lobby"), [{ ...b, failure: "no" }]);
});

test("lives without a store that takes anything", () => {
  localStorage.setItem = () => {
    throw new Error("full");
  };
  keep(entry("a", 1));
  assert.deepEqual(kept(), []);
});

test("sends again only within the memory of ids, under the same login", () => {
  const message = { ...entry("a", 1), login: "one" };
  assert.ok(isSafe(message, "one"));
  assert.ok(isSafe(message, "other")); // it was never sent
  const tried = { ...message, tried: Date.now() - 60_000 };
  assert.ok(isSafe(tried, "one"));
  assert.ok(!isSafe(tried, "other"));
  assert.ok(!isSafe({ ...tried, tried: Date.now() - 9 * 60_000 }, "one"));
});
