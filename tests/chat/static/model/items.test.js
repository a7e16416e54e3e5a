import assert from "node:assert/strict";
import { test } from "node:test";
import { Items } from "../../../../chat/static/model/items.js";

const NOON = new Date(2026, 10, 20, 12).getTime();

/**
 * @param {"chat" | "joined" | "left"} type
 * @param {number} minute The time, in minutes after noon; also the position.
 * @param {string} [memberName]
 */
const event = (type, minute, memberName = "Ben") => ({
  type,
  memberName,
  memberId: memberName,
  id: `${minute}`,
  seq: minute,
  roomId: "lobby",
  message: "x",
  sent: new Date(NOON + minute * 60_000).toISOString(),
});

/** @param {Items} items The items, as their positions and numbers of events. */
const outline = (items) =>
  Array.from({ length: items.length }, (_, index) => [items.at(index).seq, items.at(index).events.length]);

test("makes one item of comings and goings in a row", () => {
  const items = new Items("Ada");
  assert.equal(items.append([event("chat", 1), event("joined", 2), event("left", 3)]), false);
  assert.equal(items.append([event("joined", 4), event("chat", 5)]), true);
  assert.equal(items.append([event("joined", 6)]), false);
  assert.deepEqual(outline(items), [
    [1, 1],
    [2, 3],
    [5, 1],
    [6, 1],
  ]);
});

test("joins what is before a page to what is after it", () => {
  const items = new Items("Ada");
  items.append([event("joined", 7), event("chat", 8)]);
  assert.equal(items.prepend([event("chat", 4), event("joined", 5), event("left", 6)]), 1);
  assert.deepEqual(outline(items), [
    [4, 1],
    [5, 3],
    [8, 1],
  ]);
  assert.equal(items.prepend([event("chat", 3)]), 1);
  items.removeOldest(2);
  assert.deepEqual(outline(items), [
    [5, 3],
    [8, 1],
  ]);
});

test("separates days", () => {
  const items = new Items("Ada");
  items.append([event("joined", 1), event("left", 2), event("left", 13 * 60), event("chat", 14 * 60)]);
  assert.deepEqual(outline(items), [
    [1, 2],
    [13 * 60, 1],
    [14 * 60, 1],
  ]);
  assert.deepEqual(
    [0, 1, 2].map((index) => items.startsDay(index)),
    [false, true, false],
  );
});

test("lets messages of one sender within five minutes stand together", () => {
  const items = new Items("Ada");
  items.append([event("chat", 1), event("chat", 5), event("chat", 10), event("chat", 11, "Eve")]);
  const isContinued = [0, 1, 2, 3].map((index) => {
    const { events, time } = items.at(index);
    return items.isContinued(index, events[0].memberName, time);
  });
  assert.deepEqual(isContinued, [false, true, false, false]);
});

test("looks past comings and goings that come to nothing", () => {
  const items = new Items("Ada");
  const time = new Date(NOON + 4 * 60_000);
  items.append([event("chat", 1), event("joined", 2, "Ada")]);
  assert.ok(items.isContinued(2, "Ben", time));
  items.append([event("joined", 3, "Eve")]);
  assert.ok(!items.isContinued(2, "Ben", time));
});

test("describes comings and goings without the reader's own", () => {
  const items = new Items("Ada");
  items.append([event("joined", 1, "Ada"), event("joined", 2, "Eve"), event("left", 3, "Ben")]);
  assert.equal(items.presenceText(items.at(0)), "Eve joined · Ben left");
  items.append([event("left", 4, "Eve"), event("joined", 5, "Ben")]);
  assert.equal(items.presenceText(items.at(0)), "");
});
