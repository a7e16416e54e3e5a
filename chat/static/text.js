/**
 * How things are written: links, times, days, lists of names.
 *
 * @module
 */

import { element } from "./dom.js";

// The page speaks English; the reader's own kind of it, if there is one.
const LOCALE = navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB";

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long" });
const distantDay = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "long", year: "numeric" });
const list = new Intl.ListFormat(LOCALE);

const LINK = /\bhttps?:\/\/[^\s<>"]+/gi;
const MOST_NAMES = 5;

/**
 * Text with its web addresses made into links.
 *
 * @param {string} text Any text.
 * @returns {(Node | string)[]} What to put into an element.
 */
export function linkified(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = withoutPunctuation(found);
    if (URL.canParse(address)) {
      const attributes = { href: address, target: "_blank", rel: "noopener noreferrer" };
      parts.push(text.slice(end, index), element("a", attributes, address));
      end = index + address.length;
    }
  }
  parts.push(text.slice(end));
  return parts;
}

/** Leave off what ends the sentence rather than the address; a bracket only if it was opened before it. */
function withoutPunctuation(address) {
  let end = address.length;
  while (/[.,;:!?'*_~\])}]/.test(address[end - 1])) {
    const isPart = address[end - 1] === ")" && address.slice(0, end - 1).includes("(");
    if (isPart) {
      break;
    }
    end--;
  }
  return address.slice(0, end);
}

/**
 * The time of day, as an element that tells the whole moment to who asks.
 *
 * @param {Date} time When.
 * @returns {HTMLElement} The element.
 */
export function timeOfDay(time) {
  return element("time", { datetime: time.toISOString(), title: moment.format(time) }, clock.format(time));
}

/**
 * The name of a day.
 *
 * @param {Date} time Any moment of it.
 * @returns {string} "Today", "Yesterday", "Monday 16 November", "16 November 2024".
 */
export function dayName(time) {
  const now = new Date();
  const age = Math.round((startOfDay(now) - startOfDay(time)) / 86_400_000);
  if (age < 2) {
    return age < 1 ? "Today" : "Yesterday";
  }
  return (age < 300 ? weekday : distantDay).format(time);
}

/**
 * Whether two moments are on one day, here.
 *
 * @param {Date} one A moment.
 * @param {Date} other Another.
 * @returns {boolean} Whether they are.
 */
export const isSameDay = (one, other) => one.toDateString() === other.toDateString();

const startOfDay = (time) => new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();

/**
 * A number of things.
 *
 * @param {number} number How many.
 * @param {string} thing What, if it is one.
 * @returns {string} "1 message", "2,500 messages".
 */
export const counted = (number, thing) =>
  `${number.toLocaleString(LOCALE)} ${thing}${number === 1 ? "" : "s"}`;

/**
 * Names in a row.
 *
 * @param {string[]} names The names.
 * @returns {string} "Ada", "Ada and Ben", "Ada, Ben, Cy, Dan, Eve and 7 others".
 */
export function namesOf(names) {
  const others = names.length - MOST_NAMES;
  return list.format(others > 1 ? [...names.slice(0, MOST_NAMES), `${others} others`] : names);
}
