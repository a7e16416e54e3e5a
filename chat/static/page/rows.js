/**
 * Messages as rows of a list.
 *
 * @module
 */

import { counted, dayAndTime, splitLinks, timeOfDay } from "../model/text.js";
import { avatar, element } from "./dom.js";

const LONG_CHARACTERS = 1_500;
const LONG_LINES = 24;

/**
 * Make the row of a message.
 *
 * @param {string} name The sender.
 * @param {string} text The text.
 * @param {Date} time When it was sent.
 * @param {{isOwn: boolean}} options Whether it is the user's own.
 * @returns {HTMLElement} The row.
 */
export function messageRow(name, text, time, { isOwn }) {
  const clock = element("time", { datetime: time.toISOString(), title: dayAndTime(time) }, timeOfDay(time));
  const head = element("p.head", {}, element("bdi.name", {}, isOwn ? "You" : name), " ", clock);
  return isOwn
    ? element("li.message.own", {}, head, bubble(text))
    : element("li.message", {}, avatar(name), head, bubble(text));
}

/**
 * Make the text of a message; of a long one the beginning, and a button for the rest.
 *
 * @param {string} text The text.
 */
function bubble(text) {
  const made = element("div.bubble", { dir: "auto" });
  const end = endOfBeginning(text);
  made.append(...linkified(text.slice(0, end)));
  if (end < text.length) {
    const unfold = () => made.replaceChildren(...linkified(text));
    const more = `Show ${counted(text.length - end, "more character")}`;
    made.append("… ", element("button.more", { type: "button", onclick: unfold }, more));
  }
  return made;
}

/** @param {string} text Any text. */
const linkified = (text) =>
  splitLinks(text).map((part) =>
    part.isLink
      ? element("a", { href: part.text, target: "_blank", rel: "noopener noreferrer" }, part.text)
      : part.text,
  );

/**
 * Return where the beginning of a message ends: before its end only if that is worth a click.
 *
 * @param {string} text The text.
 */
function endOfBeginning(text) {
  const lines = text.split("\n");
  const isLong = text.length > LONG_CHARACTERS * 1.2 || lines.length > LONG_LINES * 1.2;
  return isLong ? Math.min(lines.slice(0, LONG_LINES).join("\n").length, LONG_CHARACTERS) : text.length;
}
