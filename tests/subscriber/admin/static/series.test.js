import assert from "node:assert/strict";
import { test } from "node:test";
import { History, KEPT, newest, plot } from "../../../../subscriber/admin/static/model/series.js";

/** @param {number} taken @param {(number | null)[]} values @param {number} [pid] @returns {any} */
const entry = (taken, values, pid = 1) => ({
  name: "publisher",
  status: { host: "h", pid, started: 1, taken, series: { connections: values } },
});

test("only samples that are not known yet are added", () => {
  const history = new History();
  assert.equal(history.missing(100), KEPT);
  history.take([entry(3, [1, 2, 3])], 100);
  assert.equal(history.missing(105), 3);
  history.take([entry(4, [2, 3, 4])], 105);
  history.take([entry(4, [2, 3, 4])], 106);
  assert.deepEqual(history.values("publisher", "connections"), [1, 2, 3, 4]);
  assert.deepEqual(history.values("publisher", "unknown"), []);
});

test("another process begins again", () => {
  const history = new History();
  history.take([entry(3, [1, 2, 3])], 100);
  history.take([{ ...entry(3, []), status: null }], 105);
  assert.equal(history.isOfOthers([entry(4, [4]), { ...entry(3, []), status: null }]), false);
  assert.equal(history.isOfOthers([entry(1, [9], 2)]), true);
  history.take([entry(1, [9], 2)], 110);
  assert.deepEqual(history.values("publisher", "connections"), [9]);
});

test("no more than half an hour is kept", () => {
  const history = new History();
  history.take([entry(KEPT, Array(KEPT).fill(0))], 100);
  history.take([entry(KEPT + 1, [0, 7])], 105);
  const values = history.values("publisher", "connections");
  assert.equal(values.length, KEPT);
  assert.equal(newest(values), 7);
  assert.equal(history.wide, KEPT);
  assert.equal(new History().wide, 36);
});

test("a plot ends at the right, and breaks where nothing is known", () => {
  const { top, lines } = plot([[0, null, 5, 10], []], 36);
  assert.equal(top, 10);
  assert.deepEqual(lines[1], []);
  assert.equal(lines[0].length, 2);
  assert.ok(lines[0][1].endsWith("100.00,0.0"));
  assert.equal(plot([[null]], 36, 3).top, 3);
  assert.equal(newest([1, null, null, null]), undefined);
});
