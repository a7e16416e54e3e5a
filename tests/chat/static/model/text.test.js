import assert from "node:assert/strict";
import { test } from "node:test";
import {
  counted,
  dayName,
  initials,
  isEmoji,
  isInvisible,
  isSameDay,
  shortTime,
  splitText,
} from "../../../../chat/static/model/text.js";

/** @param {string} text */
const links = (text) =>
  splitText(text)
    .filter((part) => part.kind === "link")
    .map((part) => part.text);

test("finds web addresses, without the punctuation after them", () => {
  assert.deepEqual(links("see https://a.example/b?c=d, (http://e.example/f)."), [
    "https://a.example/b?c=d",
    "http://e.example/f",
  ]);
  assert.deepEqual(links("https://a.example/b_(c)."), ["https://a.example/b_(c)"]);
  assert.deepEqual(links('<a href="https://a.example">'), ["https://a.example"]);
});

test("makes no link of anything else", () => {
  for (const text of [
    "javascript:alert(1)",
    "data:text/html,x",
    "xhttps://a.example",
    "https://",
    "a.example",
  ]) {
    assert.deepEqual(links(text), []);
  }
});

test("splits without losing anything", () => {
  for (const text of ["", "x", "a https://b.example, c", "https://b.example"]) {
    const parts = splitText(text);
    assert.equal(parts.map((part) => part.text).join(""), text);
    assert.ok(parts.every((part) => part.text !== ""));
  }
});

test("names days", () => {
  const now = new Date(2026, 10, 20, 0, 30);
  assert.equal(dayName(new Date(2026, 10, 20, 0, 1), now), "Today");
  assert.equal(dayName(new Date(2026, 10, 19, 23, 59), now), "Yesterday");
  assert.match(dayName(new Date(2026, 10, 16), now), /Monday.*16|Monday.*November 16/);
  assert.match(dayName(new Date(2024, 10, 16), now), /2024/);
  assert.ok(isSameDay(new Date(2026, 10, 20, 0, 1), new Date(2026, 10, 20, 23, 59)));
  assert.ok(!isSameDay(new Date(2026, 10, 20), new Date(2026, 11, 20)));
});

test("writes a short time without what tells morning from afternoon", () => {
  assert.match(shortTime(new Date(2026, 10, 20, 16, 26)), /^(4|16):26$/);
});

test("writes numbers of things", () => {
  const texts = [0, 1, 2_500].map((number) => counted(number, "message"));
  assert.deepEqual(texts, ["0 messages", "1 message", "2,500 messages"]);
});

test("takes what is between backticks for code", () => {
  assert.deepEqual(splitText("run `a https://b.example` or\n```\nx\n  y\n```"), [
    { text: "run ", kind: "text" },
    { text: "a https://b.example", kind: "code" },
    { text: " or\n", kind: "text" },
    { text: "x\n  y", kind: "code" },
  ]);
  assert.deepEqual(splitText("a ` b"), [{ text: "a ` b", kind: "text" }]);
});

test("tells emoji from text, and what can be seen from what cannot", () => {
  assert.deepEqual(["🎉", "👍🏽 🇩🇪", "👨‍👩‍👧"].map(isEmoji), [true, true, true]);
  assert.deepEqual(["12", "a🎉", " ", "🎉".repeat(20)].map(isEmoji), [false, false, false, false]);
  assert.deepEqual(["\u200b\u200b", " \n", "\u202e", ""].map(isInvisible), [true, true, true, true]);
  assert.deepEqual(["a", "🎉", "\u200bx"].map(isInvisible), [false, false, false]);
});

test("shortens names to their initials", () => {
  assert.deepEqual(["ada", "Ada King Lovelace", " ß ", "دانا", "🎉 x"].map(initials), [
    "A",
    "AL",
    "SS",
    "د",
    "🎉X",
  ]);
});
