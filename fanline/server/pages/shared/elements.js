/**
 * Elements that all pages of the services make and find alike. Text goes in as text, never as HTML.
 *
 * @module
 */

/**
 * Make an element.
 *
 * @param {string} tag `name` or `name.class.class`.
 * @param {Record<string, any>} [attributes] `onclick` and the like are listeners; false and undefined leave one out.
 * @param {...(Node | string)} children Its content.
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

/** @param {string} text @param {() => void} onclick @returns {HTMLElement} A button that looks like a link. */
export const textButton = (text, onclick) => element("button.link", { type: "button", onclick }, text);

/**
 * Find an element of the page. A page gives this the type `Finder` of its own elements.
 *
 * @param {string} id Its id.
 * @returns {any} The element.
 */
export const find = (id) => document.getElementById(id);

/**
 * A function that finds elements by their ids.
 *
 * @template Elements Types of the elements that are more than an `HTMLElement`.
 * @typedef {<Id extends string>(id: Id) => Id extends keyof Elements ? Elements[Id] : HTMLElement} Finder
 */
