import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { claims, matches } from "../src/fanline.js";

test("reads the claims of a token", () => {
  const token = `x.${btoa(JSON.stringify({ exp: 1, jti: "j" }))}.x`;
  assert.deepEqual(claims(token), { exp: 1, jti: "j" });
  assert.deepEqual(claims("nonsense"), {});
});

test("matches patterns as the server does", () => {
  for (const [pattern, topic, expected] of /** @type {[string, string, boolean][]} */ ([
    ["a.b", "a.b", true],
    ["a.b", "a.b.c", false],
    ["a.b.c", "a.b", false],
    ["a.*", "a.b", true],
    ["a.*", "a", false],
    ["a.*", "a.b.c", false],
    ["*.b", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    [">", "a.b", true],
    [">", "$a", false],
    ["*.b", "$a.b", false],
    ["$a.>", "$a.b", true],
  ])) {
    assert.equal(matches(pattern, topic), expected, `${pattern} ${topic}`);
  }
});

test("doubles delays up to five seconds", () => {
  const backoff = new Backoff();
  const delays = Array.from({ length: 9 }, () => backoff.next());
  backoff.reset();
  delays.push(backoff.next());
  for (const [index, nominal] of [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 100].entries()) {
    assert.ok(nominal / 2 <= delays[index] && delays[index] <= nominal, `${delays[index]} of ${nominal}`);
  }
  assert.ok(new Set(delays).size > 5);
});
