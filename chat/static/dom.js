/**
 * Making elements. Text goes in as text, never as HTML.
 *
 * @module
 */

const HUES = 12; // as many as the style sheet has

/**
 * Make an element.
 *
 * @param {string} tag `name` or `name.class.class`.
 * @param {Record<string, any>} [attributes] `onclick` and the like are listeners, false and undefined leave one out.
 * @param {...(Node | string)} children What is in it.
 * @returns {HTMLElement} The element.
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value !== false && value !== undefined) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children);
  return made;
}

/**
 * Find an element of the page.
 *
 * @param {string} id Its id.
 * @returns {HTMLElement} The element.
 */
export const byId = (id) => document.getElementById(id);

/**
 * A round sign for somebody: the first letter of the name, in a colour that goes with the name.
 *
 * @param {string} name Whose.
 * @returns {HTMLElement} The sign; it says nothing that the name beside it does not.
 */
export function avatar(name) {
  const [letter] = name;
  const sum = [...name].reduce((total, character) => (total * 65_599 + character.codePointAt(0)) % 9_973, 7);
  return element(
    "span.avatar",
    { "aria-hidden": "true", "data-hue": sum % HUES },
    letter.toLocaleUpperCase(),
  );
}
