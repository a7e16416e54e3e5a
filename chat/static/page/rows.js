/**
 * Messages as rows of a list.
 *
 * @module
 */

import { YOU } from "../model/sentences.js";
import { counted, dayAndTime, isEmoji, shortTime, splitText, timeOfDay } from "../model/text.js";
import { avatar, element } from "./dom.js";

const LONG_CHARACTERS = 1_500;
const LONG_LINES = 24;

/**
 * Make the row of a message.
 *
 * @param {string} name The sender.
 * @param {string} text The text.
 * @param {Date} time When it was sent.
 * @param {object} options
 * @param {boolean} options.isOwn Whether it is the user's own.
 * @param {boolean} options.isContinued Whether it stands together with the one before it.
 * @returns {HTMLElement} The row.
 */
export function messageRow(name, text, time, { isOwn, isContinued }) {
  const shown = isContinued ? shortTime(time) : timeOfDay(time); // the margin is narrow
  const clock = element("time", { datetime: time.toISOString(), title: dayAndTime(time) }, shown);
  const sender = element("span.name", {}, element("bdi", {}, isOwn ? YOU : name));
  const head = element("p.head", {}, sender, " ", clock);
  const row = element("li.message", { tabindex: -1 }, avatar(name), head, bubble(text));
  row.classList.toggle("own", isOwn);
  row.classList.toggle("continued", isContinued);
  return row;
}

/**
 * Make the text of a message; of a long one the beginning, and a button for the rest.
 *
 * @param {string} text The text.
 */
function bubble(text) {
  const made = element("div.bubble", { dir: "auto" });
  made.classList.toggle("emoji", isEmoji(text));
  const end = endOfBeginning(text);
  made.append(...formatted(text.slice(0, end)));
  if (end < text.length) {
    const unfold = () => made.replaceChildren(...formatted(text));
    made.append("… ", element("button.more", { type: "button", onclick: unfold }, `Show ${rest(text, end)}`));
  }
  return made;
}

/** @param {string} text Any text. */
const formatted = (text) =>
  splitText(text).map((part) => {
    if (part.kind === "link") {
      return element("a", { href: part.text, target: "_blank", rel: "noopener noreferrer" }, part.text);
    }
    return part.kind === "code" ? element("code", {}, part.text) : part.text;
  });

/** @param {string} text A long text. @param {number} end Where its beginning ends. */
function rest(text, end) {
  const lines = text.slice(end).trim().split("\n").length;
  return lines > 1 ? counted(lines, "more line") : counted(text.length - end, "more character");
}

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
