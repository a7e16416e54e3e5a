/**
 * The messages of a room: all that are loaded in memory, of which only those around the visible ones are on the page.
 *
 * However long a room is, there are at most `MOST_ROWS` rows. Scrolling puts rows in at one end and takes rows out
 * at the other, and what is visible does not move by it.
 *
 * @module
 */

import { Items } from "../model/items.js";
import { dayName } from "../model/text.js";
import { element } from "./dom.js";
import { messageRow } from "./rows.js";

/** @import { RoomEvent } from "../fanline.js" */

const MOST_ROWS = 300;
const STEP = 60;
const MOST_ITEMS = 3_000; // in memory, while the newest ones are visible
const NEAR = 700; // pixels from an end at which more is put in
const AT_BOTTOM = 48; // pixels that still count as the bottom

/** Shows the messages of one room. */
export class Timeline {
  #scroller;
  #list;
  #options;
  #items;
  #start = 0; // the items that are on the page
  #end = 0;
  #isStuck = true; // to the bottom
  #lastTop = 0;
  /** @type {number | undefined} */
  #before;
  #isComplete = false;

  /**
   * @param {HTMLElement} scroller The element that scrolls.
   * @param {HTMLElement} list The list of the rows, in an element of its own within the scroller.
   * @param {object} options
   * @param {string} options.name The user's name.
   * @param {(before: number) => void} options.onNeedOlder Called at every scrolling that needs messages before a
   *   position.
   * @param {() => void} options.onScroll Called when `isAtBottom` may have changed.
   * @param {AbortSignal} options.signal Ends it.
   */
  constructor(scroller, list, { name, onNeedOlder, onScroll, signal }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#options = { onNeedOlder, onScroll };
    this.#items = new Items(name);
    list.replaceChildren();
    scroller.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    const observer = new ResizeObserver(() => {
      this.#noticeScrolling();
      this.#settle();
    });
    observer.observe(scroller);
    observer.observe(/** @type {HTMLElement} */ (list.parentElement));
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** @returns {boolean} Whether the newest message is visible. */
  get isAtBottom() {
    return this.#isStuck;
  }

  /** @param {number} before The position from which on all events are given to `append`. */
  begin(before) {
    this.#before ??= before; // after a reconnect, what is older than the first row is still older
    this.#settle();
  }

  /**
   * Add newer events at the end; a reader at the bottom stays there.
   *
   * @param {RoomEvent[]} events In order.
   */
  append(events) {
    this.#noticeScrolling();
    const before = this.#items.length;
    const wasWhole = this.#end === before;
    const isMerged = this.#items.append(events);
    if (!wasWhole) {
      return; // the end is not on the page
    }
    if (isMerged) {
      this.#refresh(before - 1);
    }
    if (this.#isStuck) {
      this.#start = Math.max(this.#start, this.#items.length - MOST_ROWS);
      this.#forgetOldest();
      this.#draw();
    } else if (this.#end - this.#start < MOST_ROWS) {
      this.#keeping(() => this.#draw(Math.min(this.#items.length, this.#start + MOST_ROWS)));
    }
    this.#settle();
  }

  /**
   * Add older events in front; what is visible does not move.
   *
   * @param {RoomEvent[]} events In order; empty if there are no older ones at all.
   */
  prepend(events) {
    this.#noticeScrolling();
    if (events.length === 0) {
      this.#isComplete = true;
      this.#keeping(() => this.#refresh(0));
      return;
    }
    this.#before = events[0].seq;
    const added = this.#items.prepend(events);
    this.#start += added;
    this.#end += added;
    this.#extendUp();
    this.#settle();
  }

  /**
   * Test whether a message of a user would stand together with the newest one.
   *
   * @param {string} name The user's name.
   * @param {Date} time When the message was written.
   * @returns {boolean} Whether it would.
   */
  isContinuedBy(name, time) {
    return this.#items.isContinued(this.#items.length, name, time);
  }

  /** Show the newest message. */
  toBottom() {
    if (this.#end < this.#items.length) {
      this.#list.replaceChildren();
      this.#start = this.#end = Math.max(this.#items.length - STEP, 0);
      this.#draw();
    }
    this.#isStuck = true;
    this.#settle();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    if (!this.#isStuck || scrollTop !== this.#lastTop) {
      this.#isStuck = below < AT_BOTTOM && this.#end === this.#items.length;
    } // else only a height has changed, which is not a reader's doing
    this.#lastTop = scrollTop;
    if (scrollTop < NEAR) {
      this.#extendUp();
    }
    if (below < NEAR && this.#end < this.#items.length) {
      this.#extendDown();
    }
    this.#options.onScroll();
  }

  /** Notice scrolling up before the browser's event: the reader must not be pulled back down. */
  #noticeScrolling() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (scrollTop < this.#lastTop && scrollHeight - scrollTop - clientHeight >= AT_BOTTOM) {
      this.#isStuck = false;
    }
  }

  /** Stay at the bottom, if stuck to it; put in more at the top, if that is near. */
  #settle() {
    if (this.#isStuck) {
      this.#scroller.scrollTop = this.#scroller.scrollHeight;
      this.#lastTop = this.#scroller.scrollTop;
    }
    if (this.#scroller.scrollTop < NEAR) {
      this.#extendUp();
    }
  }

  #extendUp() {
    if (this.#start > 0) {
      this.#keeping(() => {
        const former = this.#start;
        this.#start = Math.max(former - STEP, 0);
        this.#list.prepend(this.#rows(this.#start, former));
        this.#refresh(former); // it has a row before it now
        this.#trimBottom();
      });
    } else if (!this.#isComplete && this.#before !== undefined) {
      this.#options.onNeedOlder(this.#before);
    }
  }

  #extendDown() {
    this.#keeping(() => {
      this.#draw(Math.min(this.#end + STEP, this.#items.length));
      this.#start = Math.max(this.#start, this.#end - MOST_ROWS);
      this.#trimTop();
    });
  }

  /** Put the rows up to `end` on the page, and take out those before the start. */
  #draw(end = this.#items.length) {
    if (this.#end < this.#start) {
      this.#list.replaceChildren();
      this.#end = this.#start;
    }
    this.#list.append(this.#rows(this.#end, end));
    this.#end = end;
    this.#trimTop();
  }

  #trimTop() {
    while (this.#list.childElementCount > this.#end - this.#start) {
      this.#list.firstElementChild?.remove();
    }
  }

  #trimBottom() {
    while (!this.#isStuck && this.#end - this.#start > MOST_ROWS) {
      this.#list.lastElementChild?.remove();
      this.#end--;
    }
  }

  /** Remove the oldest items from memory; they are loaded again if a reader scrolls up to them. */
  #forgetOldest() {
    if (this.#items.length > MOST_ITEMS) {
      const count = Math.min(this.#start, this.#items.length - MOST_ITEMS / 2);
      this.#items.removeOldest(count);
      this.#start -= count;
      this.#end -= count;
      this.#before = this.#items.at(0).seq;
      this.#isComplete = false;
    }
  }

  /**
   * Change rows that are not visible, without moving those that are.
   *
   * @param {() => void} change Changes them.
   */
  #keeping(change) {
    if (this.#isStuck) {
      change();
      return;
    }
    const { top } = this.#scroller.getBoundingClientRect();
    const [, ...rows] = this.#list.children; // the first one may be replaced
    const visible = rows.find((row) => row.getBoundingClientRect().bottom > top);
    const before = visible?.getBoundingClientRect().top ?? 0;
    change();
    if (visible) {
      this.#scroller.scrollTop += visible.getBoundingClientRect().top - before;
    }
  }

  /** @param {number} start @param {number} end */
  #rows(start, end) {
    const rows = document.createDocumentFragment();
    for (let index = start; index < end; index++) {
      rows.append(this.#row(index));
    }
    return rows;
  }

  /** @param {number} index The index of an item whose row is to be made again, if it has one. */
  #refresh(index) {
    const row = this.#list.children[index - this.#start];
    if (row && index < this.#items.length) {
      row.replaceWith(this.#row(index));
    }
  }

  /** @param {number} index The index of an item. */
  #row(index) {
    const row = this.#items.at(index).isMessage ? this.#message(index) : this.#presence(index);
    if (index === 0 ? this.#isComplete : this.#items.startsDay(index)) {
      row.prepend(element("h3.day", {}, element("span", {}, dayName(this.#items.at(index).time))));
    }
    return row;
  }

  /** @param {number} index The index of a message. */
  #message(index) {
    const { events, time } = this.#items.at(index);
    const { memberName, message } = events[0];
    const row = messageRow(memberName, message, time, { isOwn: memberName === this.#items.name });
    row.classList.toggle("continued", this.#items.isContinued(index, memberName, time));
    return row;
  }

  /** @param {number} index The index of comings and goings. */
  #presence(index) {
    const text = this.#items.presenceText(this.#items.at(index));
    return element("li.presence", {}, element("p", { hidden: !text }, text));
  }
}
