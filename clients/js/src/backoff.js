const FIRST_DELAY = 100;
const LONGEST_DELAY = 5_000;

/** Delays between attempts: each doubles the last, drawn from the upper half of its range. In milliseconds. */
export class Backoff {
  #first;
  #cap;
  #nominal;

  /**
   * @param {number} first The longest first delay.
   * @param {number} cap The longest delay of all.
   */
  constructor(first = FIRST_DELAY, cap = LONGEST_DELAY) {
    this.#first = first;
    this.#cap = cap;
    this.#nominal = first;
  }

  /** @returns {number} The delay before the next attempt. */
  next() {
    const delay = this.#nominal * (0.5 + Math.random() / 2);
    this.#nominal = Math.min(this.#nominal * 2, this.#cap);
    return delay;
  }

  /** Start over after an attempt that succeeded. */
  reset() {
    this.#nominal = this.#first;
  }
}
