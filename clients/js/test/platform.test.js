import assert from "node:assert/strict";
import { test } from "node:test";
import { onWake, randomId } from "../src/platform.js";

test("makes ids that differ", () => {
  assert.match(randomId(), /^[0-9a-f]{32}$/);
  assert.notEqual(randomId(), randomId());
});

/** @param {(Partial<EventTarget> & {document?: any})} scope */
function wakes(scope) {
  const ending = new AbortController();
  const count = { value: 0, end: () => ending.abort() };
  onWake(() => count.value++, ending.signal, scope);
  return count;
}

test("wakes a visible page, and not a hidden one", () => {
  const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  const scope = Object.assign(new EventTarget(), { document });
  const count = wakes(scope);
  scope.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(count.value, 0);
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  scope.dispatchEvent(new Event("online"));
  assert.equal(count.value, 2);
  count.end();
  scope.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(count.value, 2);
});

test("wakes a worker, which has no document", () => {
  const scope = new EventTarget();
  const count = wakes(scope);
  scope.dispatchEvent(new Event("online"));
  assert.equal(count.value, 1);
});

test("needs no events at all", () => {
  assert.equal(wakes({}).value, 0);
});
