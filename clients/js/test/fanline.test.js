import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { claims, matches } from "../src/fanline.js";
import { Login } from "../src/login.js";

test("reads the claims of a token", () => {
  const token = `x.${btoa(JSON.stringify({ exp: 1, jti: "j" }))}.x`;
  assert.deepEqual(claims(token), { exp: 1, jti: "j" });
  assert.deepEqual(claims("nonsense"), {});
});

test("renews a token when a fifth of its life is left", () => {
  const now = Date.now() / 1000;
  /** @param {{iat?: number, exp?: number}} life */
  const delay = (life, token = () => "") => new Login(token).renewalDelay(`.${btoa(JSON.stringify(life))}.`);
  const isNear = (/** @type {number | undefined} */ got, /** @type {number} */ expected) =>
    assert.ok(Math.abs(Number(got) - expected) < 10_000, `${got} is not ${expected}`);
  isNear(delay({ exp: now + 1_000 }), 800_000);
  isNear(delay({ iat: now + 900, exp: now + 1_900 }), 800_000); // a clock that is ahead
  isNear(delay({ iat: now - 900, exp: now + 100 }), 80_000);
  assert.equal(delay({ exp: now - 1 }), 10_000);
  assert.equal(delay({ exp: now + 1e12 }), 2 ** 31 - 1);
  assert.equal(delay({}), undefined);
  assert.equal(delay({ exp: now + 1_000 }, /** @type {any} */ ("fixed")), undefined);
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
