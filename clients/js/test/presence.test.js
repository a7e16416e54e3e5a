// Presence, on a service that the test plays.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { connect } from "../src/fanline.js";
import { Script, turn } from "./scripted.js";

const PATTERN = "$presence.room.7";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
afterEach(() => mock.timers.reset());

/** @param {string} type @param {string} from @param {string} as @param {number} seq */
const event = (type, from, as, seq) => ({
  topic: PATTERN,
  type,
  from,
  content: { as, server: "s" },
  seq,
  time: 1,
});

test("tells the first and the last session of a user from the others", async () => {
  const script = new Script();
  const fanline = connect({ subscribe: "wss://test", token: "t", WebSocket: script.WebSocket });
  const presence = fanline.presence("room.7");
  /** @type {string[]} */
  const got = [];
  for (const type of /** @type {const} */ (["join", "add", "remove", "leave"])) {
    presence.on(type, ({ user, as }) => got.push(`${type} ${user} ${as}`));
  }
  const socket = await script.opened();
  assert.deepEqual(socket.take(), [{ sub: PATTERN, latest: true }]);
  socket.receive(
    { subscribed: PATTERN, seq: 0, epoch: "e", latest: 2 },
    ...[event("join", "alice", "a", 1), event("join", "alice", "b", 2), event("join", "alice", "a", 3)],
    ...[event("leave", "bob", "a", 4), event("leave", "alice", "a", 5), event("leave", "alice", "b", 6)],
  );
  assert.deepEqual(got, ["join alice a", "add alice b", "remove alice a", "leave alice b"]);
  socket.receive(event("join", "alice", "a", 7), { gap: { from: 8, to: 9 } });
  assert.equal(presence.users.size, 0);
  assert.deepEqual(socket.take(), [{ unsub: PATTERN }, { sub: PATTERN, latest: true }]);
  fanline.close();
});

test("is present under the same name on each connection", async () => {
  const script = new Script();
  const fanline = connect({ subscribe: "wss://test", token: "t", WebSocket: script.WebSocket });
  fanline.subscribe("room.7", { presence: true });
  fanline.subscribe("room.8", { presence: true, as: "tablet" });
  fanline.subscribe("room.9").on("message", () => {});
  const socket = await script.opened();
  const [seven, eight, nine] = socket.take();
  assert.equal(seven.as.length, 32);
  assert.deepEqual([eight, nine], [{ sub: "room.8", presence: true, as: "tablet" }, { sub: "room.9" }]);
  socket.receive({ subscribed: "room.9", seq: 3, epoch: "e" }, { subscribed: "room.7", seq: 4, epoch: "e" });
  fanline.subscribe("room.9", { presence: true });
  assert.deepEqual(socket.take().at(-1), { sub: "room.9", presence: true, as: seven.as });
  socket.end(1006);
  await turn();
  mock.timers.tick(10_000);
  await turn();
  const again = await script.opened();
  assert.deepEqual(
    again.take().map(({ sub, presence, as }) => [sub, presence, as]),
    ["room.7", "room.8", "room.9"].map((sub) => [sub, true, sub === "room.8" ? "tablet" : seven.as]),
  );
  fanline.close();
});
