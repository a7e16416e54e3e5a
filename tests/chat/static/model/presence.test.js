import assert from "node:assert/strict";
import { test } from "node:test";
import { Members } from "../../../../chat/static/model/presence.js";

/** @param {"joined" | "left"} type @param {string} memberId @param {string} memberName @param {string} userId */
const event = (type, memberId, memberName = "", userId = "") => ({ type, memberId, memberName, userId });

test("groups connections by user, not by name", () => {
  const members = new Members();
  members.replace([
    { id: "1", name: "Sam", userId: "s1" },
    { id: "2", name: "Ada", userId: "a" },
  ]);
  members.apply(event("joined", "3", "Ada", "a"));
  members.apply(event("joined", "4", "Sam", "s2"));
  members.apply(event("joined", "4", "Sam", "s2"));
  assert.equal(members.count, 3);
  assert.deepEqual(members.groups, [
    { name: "Ada", userId: "a", count: 2 },
    { name: "Sam", userId: "s1", count: 1 },
    { name: "Sam", userId: "s2", count: 1 },
  ]);
  members.apply(event("left", "2"));
  members.apply(event("left", "1"));
  members.apply(event("left", "unknown"));
  assert.deepEqual(members.groups, [
    { name: "Ada", userId: "a", count: 1 },
    { name: "Sam", userId: "s2", count: 1 },
  ]);
});
