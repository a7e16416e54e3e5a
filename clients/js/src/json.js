import { Rejected } from "./errors.js";

const LONE_SURROGATE = /\p{Cs}/u;

/**
 * Write a value as JSON. What JSON would leave out or change in silence is refused: functions, NaN and infinity,
 * halves of surrogate pairs, and objects such as maps and arrays of bytes. Properties that are undefined are left
 * out, as usual.
 *
 * @param {unknown} value The value.
 * @param {string} id The id of the message that it belongs to.
 * @returns {string} The JSON.
 * @throws {Rejected} If it cannot be written.
 */
export const written = (value, id) =>
  JSON.stringify(value, function (key, part) {
    const problem = problemOf(part, Array.isArray(this)) ?? problemOf(key, false);
    if (problem !== null) {
      throw new Rejected("bad-message", `${problem} cannot be written as JSON`, id);
    }
    return part;
  });

/**
 * Return a value that is there: undefined would be left out, and the message have no content.
 *
 * @param {unknown} value The value.
 * @param {string} id The id of the message that it is the content of.
 * @returns {unknown} The value.
 * @throws {Rejected} If it is undefined.
 */
export function present(value, id) {
  if (value === undefined) {
    throw new Rejected("bad-message", "undefined cannot be published", id);
  }
  return value;
}

/**
 * @param {unknown} part A part of a value.
 * @param {boolean} isInArray Whether it is in an array, where undefined would become null.
 * @returns {string | null} What it is, if it cannot be written.
 */
function problemOf(part, isInArray) {
  switch (typeof part) {
    case "undefined":
      return isInArray ? "undefined" : null;
    case "function":
    case "symbol":
    case "bigint":
      return `a ${typeof part}`;
    case "number":
      return Number.isFinite(part) ? null : `${part}`;
    case "string":
      return LONE_SURROGATE.test(part) ? "half of a surrogate pair" : null;
    default:
      return part instanceof Map || part instanceof Set || ArrayBuffer.isView(part)
        ? part.constructor.name
        : null;
  }
}
