import { Rejected } from "./errors.js";

const LONGEST = 255; // characters
const TOKEN = /^[^\s.*>\p{Cc}\p{Cs}]+$/u;

/**
 * Check a topic.
 *
 * @param {unknown} topic What should be one.
 * @returns {string} The topic.
 * @throws {Rejected} If it is none.
 */
export const checkedTopic = (topic) => checked(topic, (token) => TOKEN.test(token));

/**
 * Check a pattern: a topic, or one with wildcards.
 *
 * @param {unknown} pattern What should be one.
 * @returns {string} The pattern.
 * @throws {Rejected} If it is none.
 */
export const checkedPattern = (pattern) =>
  checked(pattern, (token, isLast) => token === "*" || (isLast && token === ">") || TOKEN.test(token));

/** @param {unknown} text @param {(token: string, isLast: boolean) => boolean} isToken */
function checked(text, isToken) {
  const tokens = typeof text === "string" ? text.split(".") : [];
  const isValid = tokens.every((token, index) => isToken(token, index === tokens.length - 1));
  if (typeof text !== "string" || [...text].length > LONGEST || !isValid) {
    throw new Rejected("bad-topic", `${JSON.stringify(text) ?? String(text)} is not a topic`);
  }
  return text;
}

/**
 * Test whether a pattern matches a topic: `*` stands for one token, `>` for the rest.
 *
 * @param {string} pattern The pattern.
 * @param {string} topic The topic.
 * @returns {boolean} Whether it matches.
 */
export function matches(pattern, topic) {
  const wanted = pattern.split(".");
  const tokens = topic.split(".");
  if (topic.startsWith("$") && (wanted[0] === "*" || wanted[0] === ">")) {
    return false; // topics of the system must be named
  }
  for (const [index, token] of wanted.entries()) {
    if (token === ">") {
      return tokens.length > index;
    }
    if (index >= tokens.length || (token !== "*" && token !== tokens[index])) {
      return false;
    }
  }
  return wanted.length === tokens.length;
}
