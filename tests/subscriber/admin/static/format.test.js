import assert from "node:assert/strict";
import { test } from "node:test";
import {
  duration,
  moment,
  number,
  percent,
  seconds,
  size,
} from "../../../../subscriber/admin/static/model/format.js";

test("numbers are short, with a unit", () => {
  assert.deepEqual([0, 0.25, 3, 950, 12_345, 2.5e6, 3e9].map(number), [
    "0",
    "0.3",
    "3",
    "950",
    "12.3 k",
    "2.5 M",
    "3.0 G",
  ]);
  assert.deepEqual([0, 1_000, 3 << 20, 5 * 2 ** 40].map(size), ["0 B", "1000 B", "3.0 MiB", "5.0 TiB"]);
  assert.deepEqual([0.0021, 1.5].map(seconds), ["2.1 ms", "1.5 s"]);
  assert.deepEqual([59, 3_600, 86_400 * 3].map(duration), ["59 s", "1 h", "3 d"]);
  assert.equal(percent(0.123), "12 %");
  assert.equal(moment(0), "1970-01-01 00:00:00");
});
