import assert from "node:assert/strict";
import { test } from "node:test";
import { SubscriptionState } from "../src/subscriptions.js";

/** @param {number} seq @param {string} topic */
const message = (seq, topic = "a.b") => ({ topic, content: null, seq, time: 1 });

/** @param {...import("../src/subscriptions.js").SubscribeRequest} requests */
function subscribed(...requests) {
  const state = new SubscriptionState();
  /** @type {[string, number][]} */
  const received = [];
  for (const request of requests) {
    state.add(request, ({ seq }) => received.push([request.sub, seq]));
  }
  return { state, received };
}

test("delivers each message once to each matching subscription", () => {
  const { state, received } = subscribed({ sub: "a.*" }, { sub: "a.b" }, { sub: "c" });
  for (const pattern of state.patterns) {
    state.confirm(pattern, 3);
  }
  for (const seq of [3, 4, 4, 6, 5]) {
    state.deliver(message(seq));
  }
  assert.deepEqual(
    received,
    [4, 6].flatMap((seq) => [
      ["a.*", seq],
      ["a.b", seq],
    ]),
  );
});

test("delivers nothing before the confirmation", () => {
  const { state, received } = subscribed({ sub: "a.b" });
  state.deliver(message(1));
  assert.deepEqual(received, []);
});

test("resumes each subscription after its own position", () => {
  const { state } = subscribed({ sub: "a.b", after: 0 }, { sub: "c", last: 2 }, { sub: "d" });
  state.confirm("a.b", 0);
  state.confirm("d", null);
  state.deliver(message(7));
  assert.deepEqual(state.resume(), [{ sub: "a.b", after: 7 }, { sub: "c", last: 2 }, { sub: "d" }]);
});

test("tells that messages may be missing without a position", () => {
  const { state } = subscribed({ sub: "a.b" });
  assert.equal(state.confirm("a.b", null), false);
  assert.equal(state.confirm("a.b", null), false);
  state.resume();
  assert.equal(state.confirm("a.b", null), true);
});

test("skips a gap, unless the pattern has wildcards", () => {
  const { state } = subscribed({ sub: "a.b" }, { sub: "a.*" });
  state.confirm("a.b", 3);
  state.confirm("a.*", 3);
  state.skip("a.b", 9);
  state.skip("a.*", 9);
  state.skip("unknown", 9);
  assert.deepEqual(state.resume(), [
    { sub: "a.b", after: 9 },
    { sub: "a.*", after: 3 },
  ]);
});

test("forgets a refused subscription, but not a confirmed one", () => {
  const { state } = subscribed({ sub: "a.b" }, { sub: "c" });
  state.confirm("c", 3);
  state.refuse("a.b");
  state.refuse("c");
  assert.deepEqual(state.patterns, ["c"]);
});

test("lets a callback unsubscribe", () => {
  const state = new SubscriptionState();
  let count = 0;
  state.add({ sub: "a.b" }, () => {
    count++;
    state.remove("a.b");
  });
  state.confirm("a.b", 0);
  state.deliver(message(1));
  state.deliver(message(2));
  assert.equal(count, 1);
  assert.equal(state.has("a.b"), false);
});

test("takes no answer to an ended subscription for one to its successor", () => {
  const { state } = subscribed({ sub: "a.b" });
  state.remove("a.b", true);
  assert.ok(state.isRemoving("a.b"));
  state.remove("a.b", true); // it is not there any more: nothing more is awaited
  state.confirmRemoval("a.b");
  assert.ok(!state.isRemoving("a.b"));
  state.add({ sub: "a.b" }, () => {});
  state.remove("a.b", true);
  state.resume(); // on another connection no answer comes
  assert.ok(!state.isRemoving("a.b"));
});

test("delivers to others what one callback fails at", (context) => {
  context.mock.method(console, "error", () => {});
  const { state, received } = subscribed({ sub: "a.b" });
  state.add({ sub: "a.*" }, () => {
    throw new Error("mistake");
  });
  state.add({ sub: ">" }, ({ seq }) => received.push([">", seq]));
  for (const pattern of state.patterns) {
    state.confirm(pattern, 0);
  }
  state.deliver(message(1));
  state.deliver(message(2));
  assert.deepEqual(received, [
    ["a.b", 1],
    [">", 1],
    ["a.b", 2],
    [">", 2],
  ]);
});
