import assert from "node:assert/strict";
import { test } from "node:test";
import { SubscriptionState } from "../src/subscriptions.js";
import { message } from "./scripted.js";

/** @typedef {import("../src/subscriptions.js").Cursor} Cursor */

/** @param {import("../src/subscriptions.js").Start} [start] */
function cursor(start = {}) {
  /** @type {any[]} */
  const got = [];
  /** @type {Cursor} */
  const made = {
    start,
    position: null,
    onReady: (seq) => got.push({ ready: seq }),
    onMessage: ({ seq }) => got.push(seq),
    onGap: ({ pattern: _, ...gap }) => got.push(gap),
    onRefused: (error) => got.push(error),
  };
  return { made, got, take: () => got.splice(0) };
}

test("shares one request between handles that begin alike", () => {
  const state = new SubscriptionState();
  const [one, two] = [cursor({ last: 2 }), cursor({ last: 2 })];
  assert.deepEqual(state.add("a", one.made), [{ sub: "a", last: 2 }]);
  assert.deepEqual(state.add("a", two.made), []);
  assert.deepEqual(state.confirm({ subscribed: "a", seq: 5 }), []);
  state.deliver(message("a", 6));
  assert.deepEqual(
    [one.got, two.got],
    [
      [{ ready: 5 }, 6],
      [{ ready: 5 }, 6],
    ],
  );
});

test("brings a later handle its past, and the others nothing twice", () => {
  const state = new SubscriptionState();
  const [live, late] = [cursor(), cursor({ after: 3 })];
  state.add("a.*", live.made);
  state.confirm({ subscribed: "a.*", seq: 10, epoch: "e" });
  state.deliver(message("a.b", 11));
  assert.deepEqual(state.add("a.*", late.made), [{ unsub: "a.*" }, { sub: "a.*", after: 3 }]);
  state.deliver(message("a.b", 12)); // still of the old one, and comes again
  state.confirmRemoval("a.*");
  assert.deepEqual(state.confirm({ subscribed: "a.*", seq: 3, epoch: "e" }), []);
  for (const seq of [4, 11, 12, 13]) {
    state.deliver(message("a.b", seq));
  }
  assert.deepEqual(live.got, [{ ready: 10 }, 11, 12, 13]);
  assert.deepEqual(late.got, [{ ready: 3 }, 4, 11, 12, 13]);
});

test("goes back to where the others were, if a later handle begins after them", () => {
  const state = new SubscriptionState();
  const [slow, now] = [cursor({ after: 0 }), cursor()];
  state.add("a", slow.made);
  state.confirm({ subscribed: "a", seq: 0, epoch: "e" });
  state.deliver(message("a", 1));
  assert.deepEqual(state.add("a", now.made), [{ unsub: "a" }, { sub: "a" }]);
  state.confirmRemoval("a");
  assert.deepEqual(state.confirm({ subscribed: "a", seq: 90, epoch: "e" }), [
    { unsub: "a" },
    { sub: "a", after: 1, epoch: "e" },
  ]);
  state.deliver(message("a", 91)); // on its way already: the first would miss what is before it
  state.confirmRemoval("a");
  assert.deepEqual(state.confirm({ subscribed: "a", seq: 1, epoch: "e" }), []);
  for (const seq of [2, 90, 91]) {
    state.deliver(message("a", seq));
  }
  assert.deepEqual(slow.got, [{ ready: 0 }, 1, 2, 90, 91]);
  assert.deepEqual(now.got, [{ ready: 90 }, 91]);
});

test("resumes at the position that is furthest back", () => {
  const state = new SubscriptionState();
  const [one, two, waiting] = [cursor({ after: 0 }), cursor(), cursor({ last: 1 })];
  state.add("a", one.made);
  state.confirm({ subscribed: "a", seq: 0, epoch: "e" });
  state.add("a", two.made);
  state.confirmRemoval("a");
  state.confirm({ subscribed: "a", seq: 9, epoch: "e" });
  assert.deepEqual(state.resume(), [{ sub: "a", after: 0, epoch: "e" }]);
  assert.deepEqual(state.add("a", waiting.made), []);
  assert.deepEqual(state.resume(), [{ sub: "a", last: 1 }], "what has no answer comes first");
  assert.deepEqual(state.confirm({ subscribed: "a", seq: 8, epoch: "e" }), [
    { unsub: "a" },
    { sub: "a", after: 0, epoch: "e" },
  ]);
});

test("ends a subscription that is refused, and no other of its pattern", () => {
  const state = new SubscriptionState();
  const [good, bad] = [cursor(), cursor({ after: 99 })];
  state.add("a", good.made);
  state.confirm({ subscribed: "a", seq: 5, epoch: "e" });
  state.add("a", bad.made);
  state.confirmRemoval("a");
  const error = new Error("after must be 0 to 5");
  assert.deepEqual(state.refuse("a", error), [{ sub: "a", after: 5, epoch: "e" }]);
  assert.deepEqual([good.take(), bad.take()], [[{ ready: 5 }], [error]]);
  assert.deepEqual(state.refuse("a", error), [], "rights that are gone end all");
  assert.deepEqual([good.take(), state.cursors], [[error], []]);
  assert.deepEqual(state.refuse("unknown", error), []);
});

test("takes what is removed off a topic, but not off a pattern", () => {
  const state = new SubscriptionState();
  const [topic, pattern] = [cursor({ after: 3 }), cursor({ after: 3 })];
  state.add("a.b", topic.made);
  state.add("a.*", pattern.made);
  state.confirm({ subscribed: "a.b", seq: 3, gap: { from: 4, to: 9 } });
  state.confirm({ subscribed: "a.*", seq: 3 });
  state.miss({ from: 4, to: 9 });
  assert.deepEqual(topic.got, [{ from: 4, to: 9 }, { ready: 3 }]);
  assert.deepEqual(pattern.got, [{ ready: 3 }, { from: 4, to: 9 }]);
  assert.deepEqual([topic.made.position, pattern.made.position], [9, 3]);
});

test("brings all handles into a log that replaces theirs", () => {
  const state = new SubscriptionState();
  const [one, two] = [cursor({ after: 0 }), cursor({ after: 0 })];
  state.add("a", one.made);
  state.confirm({ subscribed: "a", seq: 0, epoch: "old" });
  state.deliver(message("a", 50));
  state.resume();
  state.add("a", two.made);
  state.resume();
  assert.deepEqual(state.confirm({ subscribed: "a", seq: 0, epoch: "new" }), []);
  state.deliver(message("a", 1));
  assert.deepEqual(
    [one.got.slice(2), two.got],
    [
      [{ isNewLog: true }, 1],
      [{ ready: 0 }, 1],
    ],
  );
});

test("lets a callback close its own subscription", () => {
  const state = new SubscriptionState();
  const { made, got } = cursor({ after: 0 });
  made.onMessage = ({ seq }) => {
    got.push(seq);
    state.remove("a", made);
  };
  state.add("a", made);
  state.confirm({ subscribed: "a", seq: 0 });
  state.deliver(message("a", 1));
  state.deliver(message("a", 2));
  assert.deepEqual(got, [{ ready: 0 }, 1]);
  assert.deepEqual(state.remove("a", made), []);
});
