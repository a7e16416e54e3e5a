import { report } from "./platform.js";

/**
 * Listeners by the type of event.
 *
 * @template {Record<string, any>} Events
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * Call a function at each event of a type.
   *
   * @template {keyof Events} Type
   * @param {Type} type The type.
   * @param {(value: Events[Type]) => void} listener The function.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => {
      listeners.delete(listener);
    };
  }

  /**
   * Test whether events of a type are listened to.
   *
   * @protected
   * @param {keyof Events} type The type.
   */
  _hasListener(type) {
    return (this.#listeners.get(type)?.size ?? 0) > 0;
  }

  /**
   * Call the listeners; a mistake of one concerns nothing else.
   *
   * @protected
   * @template {keyof Events} Type
   * @param {Type} type The type.
   * @param {Events[Type]} value What is given to them.
   */
  _emit(type, value) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        report(error);
      }
    }
  }
}
