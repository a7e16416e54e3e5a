/**
 * How messages, times, days, numbers and names are written. No DOM.
 *
 * @module
 */

// The page speaks English: the reader's own kind of it, if the browser names one.
const LOCALE = navigator.languages.find((language) => language.startsWith("en")) ?? "en-GB";

const { hourCycle } = new Intl.DateTimeFormat(LOCALE, { hour: "numeric" }).resolvedOptions();
const hour = hourCycle?.startsWith("h2") ? "2-digit" : "numeric"; // 09:05, but 9:05 am
const clock = new Intl.DateTimeFormat(LOCALE, { hour, minute: "2-digit" });
const moment = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long" });
const distantDay = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "long", year: "numeric" });

const LINK = /\bhttps?:\/\/[^\s<>"]+/gi;
const CODE = /```[^\S\n]*\n?([\s\S]+?)\n?```|`([^`\n]+)`/g;
const EMOJI = /^(?:\p{RGI_Emoji}|\s){1,6}$/v;
const INVISIBLE = /^[\s\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}]*$/u;

/** @typedef {{text: string, kind: "text" | "link" | "code"}} Part */

/**
 * Split a text into code, between backticks, web addresses, and the rest.
 *
 * @param {string} text Any text.
 * @returns {Part[]} The parts, in order.
 */
export function splitText(text) {
  /** @type {Part[]} */
  const parts = [];
  let end = 0;
  for (const { 0: found, 1: block, 2: inline, index } of text.matchAll(CODE)) {
    parts.push(...splitLinks(text.slice(end, index)), { text: block ?? inline, kind: "code" });
    end = index + found.length;
  }
  return [...parts, ...splitLinks(text.slice(end))].filter((part) => part.text !== "");
}

/** @param {string} text Any text. @returns {Part[]} Its web addresses, and the rest. */
function splitLinks(text) {
  /** @type {Part[]} */
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = withoutPunctuation(found);
    if (URL.canParse(address)) {
      parts.push({ text: text.slice(end, index), kind: "text" }, { text: address, kind: "link" });
      end = index + address.length;
    }
  }
  return [...parts, { text: text.slice(end), kind: "text" }];
}

/** @param {string} text Any text. @returns {boolean} Whether it is made of a few emoji alone. */
export const isEmoji = (text) => EMOJI.test(text) && text.trim() !== "";

/** @param {string} text Any text. @returns {boolean} Whether nothing of it can be seen. */
export const isInvisible = (text) => INVISIBLE.test(text);

/**
 * Write a reason as a sentence.
 *
 * @param {string} reason "the server cannot be reached".
 * @returns {string} "The server cannot be reached."
 */
export function sentence(reason) {
  const text = reason.trim();
  return text && `${text[0].toLocaleUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

/**
 * Return the letters that stand for a name.
 *
 * @param {string} name The name.
 * @returns {string} "A" for "Ada", "AL" for "Ada King Lovelace".
 */
export function initials(name) {
  const words = name.trim().split(/\s+/);
  const first = [words[0], ...(words.length > 1 ? [words[words.length - 1]] : [])];
  return first
    .map((word) => [...word][0] ?? "")
    .join("")
    .toLocaleUpperCase();
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

/** @param {Date} time A time. @returns {string} The time of day, without what tells morning from afternoon. */
export const shortTime = (time) =>
  clock
    .formatToParts(time)
    .map(({ type, value }) => (type === "dayPeriod" ? "" : value))
    .join("")
    .trim();

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
