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
