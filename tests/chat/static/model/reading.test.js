import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Reading } from "../../../../chat/static/model/reading.js";
import { emptyStorage } from "./storage.js";

/** @param {number} messages @param {number} seq */
const room = (messages, seq, roomId = "a") => ({ roomId, messages, seq });

beforeEach(emptyStorage);

test("counts each message once, in whichever order the news come", () => {
  const reading = new Reading("Ada", "u1");
  reading.replace([room(2, 5)]);
  assert.equal(reading.unread("a"), 0);
  reading.count(room(0, 5));
  assert.equal(reading.unread("a"), 0);
  reading.count(room(0, 6));
  assert.equal(reading.unread("a"), 1);
  reading.update(room(3, 6));
  assert.equal(reading.unread("a"), 1);
  reading.update(room(2, 5));
  assert.equal(reading.unread("a"), 1);
  reading.see("a", 6, 0);
  assert.equal(reading.unread("a"), 0);
  reading.update(room(5, 9));
  assert.equal(reading.unread("a"), 2);
  reading.count(room(0, 8));
  assert.equal(reading.unread("a"), 2);
});

test("begins again with a room that is made under the id of a deleted one", () => {
  const reading = new Reading("Ada", "u1");
  reading.replace([room(2, 5)]);
  reading.forget("a");
  assert.equal(reading.unread("a"), 0);
  reading.add(room(0, 11));
  reading.update(room(1, 12));
  assert.equal(reading.unread("a"), 1);
});

test("remembers how far a room was read that is deleted and restored", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1e12 });
  const reading = new Reading("Ada", "u1");
  reading.replace([room(2, 5), room(1, 6, "b")]);
  reading.update(room(3, 8));
  reading.forget("a");
  assert.equal(reading.total, 0);
  const later = new Reading("Ada", "u1");
  later.replace([room(1, 6, "b")]);
  later.add(room(3, 8));
  assert.deepEqual([later.unread("a"), later.lastRead("a"), later.total], [1, 5, 1]);
  for (const days of [0, 29, 31]) {
    t.mock.timers.setTime(1e12 + days * 86_400_000);
    new Reading("Ada", "u1").replace([room(1, 6, "b")]);
    assert.equal(new Reading("Ada", "u1").lastRead("a"), days > 30 ? 0 : 5);
  }
});

test("remembers what was read, for each user", () => {
  new Reading("Ada", "u1").replace([room(2, 5)]);
  const later = new Reading("Ada", "u1");
  later.replace([room(7, 30), room(1, 31, "b")]);
  assert.deepEqual([later.unread("a"), later.unread("b"), later.unread("unknown")], [5, 1, 0]);
  const other = new Reading("Ben", "u2");
  other.replace([room(7, 30)]);
  assert.equal(other.unread("a"), 0);
});

test("forgets a room that was made again while the user was away", () => {
  new Reading("Ada", "u1").replace([room(5, 9), room(1, 10, "b")]);
  const later = new Reading("Ada", "u1");
  later.replace([room(3, 40)]);
  assert.equal(later.unread("a"), 3);
});

test("takes over what was read in another tab", () => {
  const [one, other] = [new Reading("Ada", "u1"), new Reading("Ada", "u1")];
  one.replace([room(2, 5)]);
  other.replace([room(2, 5)]);
  for (const reading of [one, other]) {
    reading.update(room(4, 8));
  }
  other.see("a", 8, 0);
  assert.equal(one.unread("a"), 2);
  assert.ok(!one.reload("fanline.session"));
  assert.ok(one.reload("fanline.read.Ada"));
  assert.equal(one.unread("a"), 0);
});

test("remembers how far a room was read, and goes only forward", () => {
  const reading = new Reading("Ada", "u1");
  assert.equal(reading.lastRead("a"), Number.POSITIVE_INFINITY);
  reading.replace([room(2, 5)]);
  assert.equal(reading.lastRead("a"), 5);
  assert.equal(reading.lastRead("made later"), 0);
  reading.update(room(10, 30));
  reading.see("a", 20, 4);
  assert.deepEqual([reading.unread("a"), reading.lastRead("a")], [4, 20]);
  reading.see("a", 10, 7);
  assert.deepEqual([reading.unread("a"), reading.lastRead("a")], [4, 20]);
  assert.equal(new Reading("Ada", "u1").lastRead("a"), 20);
});

test("passes over what cannot be read", () => {
  localStorage.setItem("fanline.read.Ada", '{"a":3,"b":{"messages":1,"seq":"x"},"c":{"messages":1,"seq":4}}');
  const reading = new Reading("Ada", "u1");
  reading.replace([room(2, 5), room(2, 5, "b"), room(2, 5, "c")]);
  assert.deepEqual([reading.unread("a"), reading.unread("b"), reading.unread("c")], [2, 2, 1]);
});

test("counts nothing up to a message that the user has sent from another device", () => {
  const reading = new Reading("Ada", "u1");
  reading.replace([room(2, 5), room(1, 6, "b")]);
  reading.update({ ...room(4, 9), senderId: "u2" });
  assert.equal(reading.unread("a"), 2);
  reading.update({ ...room(5, 10), senderId: "u1" });
  assert.equal(reading.unread("a"), 0);
  reading.update({ ...room(6, 11), senderId: "u2" });
  assert.equal(reading.unread("a"), 1);
  const later = new Reading("Ada", "u1");
  later.replace([{ ...room(8, 20), senderId: "u1" }]);
  assert.deepEqual([later.unread("a"), later.lastRead("a")], [0, 20]);
});
