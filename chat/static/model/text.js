/**
 * How links, times, days, numbers and lists of names are written. No DOM.
 *
 * @module
 */

// The page speaks English: the reader's own kind of it, if the browser names one.
const LOCALE = navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB";

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long" });
const distantDay = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "long", year: "numeric" });
const list = new Intl.ListFormat(LOCALE);

const LINK = /\bhttps?:\/\/[^\s<>"]+/gi;
const MOST_NAMES = 5;

/**
 * Split a text at its web addresses.
 *
 * @param {string} text Any text.
 * @returns {{text: string, isLink: boolean}[]} The parts, which make up the whole text.
 */
export function splitLinks(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = withoutPunctuation(found);
    if (URL.canParse(address)) {
      parts.push({ text: text.slice(end, index), isLink: false }, { text: address, isLink: true });
      end = index + address.length;
    }
  }
  return [...parts, { text: text.slice(end), isLink: false }].filter((part) => part.text !== "");
}

/**
 * Leave off what ends the sentence rather than the address; a bracket only if none was opened before it.
 *
 * @param {string} address An address, maybe with punctuation after it.
 */
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

/** @param {Date} time A time. @returns {string} The time of day. */
export const timeOfDay = (time) => clock.format(time);

/** @param {Date} time A time. @returns {string} Its day and time of day. */
export const dayAndTime = (time) => moment.format(time);

/**
 * Name a day.
 *
 * @param {Date} time Any time of the day.
 * @param {Date} [now] The present time.
 * @returns {string} "Today", "Yesterday", "Monday 16 November", "16 November 2024".
 */
export function dayName(time, now = new Date()) {
  const age = Math.round((startOfDay(now) - startOfDay(time)) / 86_400_000);
  if (age < 2) {
    return age < 1 ? "Today" : "Yesterday";
  }
  return (age < 300 ? weekday : distantDay).format(time);
}

/**
 * Test whether two times are on the same day, in this time zone.
 *
 * @param {Date} one A time.
 * @param {Date} other Another.
 * @returns {boolean} Whether they are.
 */
export const isSameDay = (one, other) => one.toDateString() === other.toDateString();

const startOfDay = (/** @type {Date} */ time) =>
  new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();

/**
 * Write a number of things.
 *
 * @param {number} number How many.
 * @param {string} thing The word for one.
 * @returns {string} "1 message", "2,500 messages".
 */
export const counted = (number, thing) =>
  `${number.toLocaleString(LOCALE)} ${thing}${number === 1 ? "" : "s"}`;

/**
 * Write a list of names.
 *
 * @param {string[]} names The names.
 * @returns {string} "Ada", "Ada and Ben", "Ada, Ben, Cy, Dan, Eve and 7 others".
 */
export function namesOf(names) {
  const others = names.length - MOST_NAMES;
  return list.format(others > 1 ? [...names.slice(0, MOST_NAMES), `${others} others`] : names);
}
