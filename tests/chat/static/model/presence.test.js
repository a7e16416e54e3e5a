import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Departures, Members, netEffect } from "../../../../chat/static/model/presence.js";

/**
 * @param {"joined" | "left"} type
 * @param {string} memberName
 * @returns {import("../../../../chat/static/fanline.js").RoomEvent}
 */
const event = (type, memberName, memberId = memberName) => ({
  type,
  memberName,
  memberId,
  id: "1",
  seq: 1,
  roomId: "lobby",
  message: "",
  sent: "",
});

test("groups connections by name", () => {
  const members = new Members();
  members.replace([
    { id: "1", name: "Eve" },
    { id: "2", name: "Ada" },
  ]);
  assert.equal(members.apply(event("joined", "Ada", "3")), false);
  assert.equal(members.apply(event("joined", "Ben", "4")), true);
  assert.deepEqual(members.groups, [
    { name: "Ada", count: 2 },
    { name: "Ben", count: 1 },
    { name: "Eve", count: 1 },
  ]);
  assert.equal(members.apply(event("left", "Ada", "2")), false);
  assert.equal(members.apply(event("left", "Ada", "3")), true);
});

test("tells of a going only if it lasts ten seconds", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const onLeft = mock.fn();
  const departures = new Departures(onLeft);
  departures.add(event("left", "Ada"));
  departures.add(event("left", "Ben"));
  context.mock.timers.tick(9_000);
  assert.equal(departures.cancel("Ada"), true);
  assert.equal(departures.cancel("Ada"), false);
  context.mock.timers.tick(1_000);
  assert.deepEqual(
    onLeft.mock.calls.map(({ arguments: [{ memberName }] }) => memberName),
    ["Ben"],
  );
  departures.add(event("left", "Eve"));
  departures.clear();
  context.mock.timers.tick(20_000);
  assert.equal(onLeft.mock.callCount(), 1);
});

test("adds comings and goings up", () => {
  const events = [event("joined", "Ada"), event("left", "Ada"), event("left", "Ben"), event("joined", "Eve")];
  assert.deepEqual(netEffect(events), { joined: ["Eve"], left: ["Ben"] });
});
