import assert from "node:assert/strict";
import { test } from "node:test";
import { Items } from "../../../../chat/static/model/items.js";

const NOON = new Date(2026, 10, 20, 12).getTime();

/**
 * @param {number} minute The time, in minutes after noon; also the position.
 * @param {string} [userId]
 */
const message = (minute, userId = "ben") => ({
  type: /** @type {const} */ ("chat"),
  memberName: "Ben",
  memberId: userId,
  userId,
  id: `${minute}`,
  seq: minute,
  roomId: "lobby",
  message: "x",
  sent: new Date(NOON + minute * 60_000).toISOString(),
});

/** @param {number[]} minutes */
const messages = (...minutes) => minutes.map((minute) => message(minute));
/** @param {Items} items */
const all = (items) => Array.from({ length: items.length }, (_, index) => items.at(index));
/** @param {Items} items */
const heads = (items) => all(items).flatMap(({ isHead, seq }) => (isHead ? [seq] : []));

test("lets messages of one user stand together for five minutes", () => {
  const items = new Items();
  items.append([...messages(1, 3, 5), message(5.5, "eve"), ...messages(6, 10, 11, 12)]);
  assert.deepEqual(heads(items), [1, 5.5, 6, 11]);
});

test("shows the time again although the messages never pause", () => {
  const items = new Items();
  items.append(messages(0, 4, 8, 12, 16, 20));
  assert.deepEqual(heads(items), [0, 8, 16]);
});

test("arranges messages again when older ones come before them", () => {
  const items = new Items();
  items.append(messages(8, 12, 30, 31));
  assert.deepEqual(heads(items), [8, 30]);
  assert.equal(items.prepend(messages(0, 4)), 1);
  assert.deepEqual(heads(items), [0, 8, 30]);
  assert.equal(items.prepend(messages(-3)), 4);
  assert.deepEqual(heads(items), [-3, 4, 12, 30]);
  assert.equal(items.prepend([]), 1);
  const one = new Items();
  one.append(messages(4));
  assert.equal(one.prepend(messages(1)), 1);
  assert.deepEqual(heads(one), [1]);
});

test("gives the first loaded message a day, and the first of each day", () => {
  const items = new Items();
  items.append(messages(1, 2, 13 * 60, 14 * 60));
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => items.startsDay(index)),
    [true, false, true, false],
  );
  assert.deepEqual(heads(items), [1, 13 * 60, 14 * 60]);
});

test("finds the first message after a position", () => {
  const items = new Items();
  assert.equal(items.indexAfter(0), 0);
  items.append(messages(3, 5, 9));
  assert.deepEqual(
    [0, 3, 4, 9, Number.POSITIVE_INFINITY].map((seq) => items.indexAfter(seq)),
    [0, 1, 1, 3, 3],
  );
  items.removeOldest(2);
  assert.deepEqual(
    all(items).map(({ seq }) => seq),
    [9],
  );
});

test("tells whether a message would continue the newest one", () => {
  const items = new Items();
  const time = new Date(NOON + 4 * 60_000);
  assert.ok(!items.isContinuedBy("ben", time));
  items.append(messages(1));
  assert.ok(items.isContinuedBy("ben", time));
  assert.ok(!items.isContinuedBy("eve", time));
});
