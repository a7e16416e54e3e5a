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
const ABOVE = 0.25; // of the height, which stays above the first new message when it is scrolled to

/** Shows the messages of one room. */
export class Timeline {
  #scroller;
  #list;
  #options;
  #items = new Items();
  #start = 0; // the items that are on the page
  #end = 0;
  #isStuck = true; // to the bottom
  #lastTop = 0;
  /** @type {number | undefined} */
  #before;
  #isComplete = false;
  /** @type {{seq: number, text: string} | undefined} */
  #line;

  /**
   * @param {HTMLElement} scroller The element that scrolls.
   * @param {HTMLElement} list The list of the rows, in an element of its own within the scroller.
   * @param {object} options
   * @param {string} options.userId The user.
   * @param {(before: number) => void} options.onNeedOlder Called at every scrolling that needs messages before a
   *   position.
   * @param {() => void} options.onScroll Called when what is visible may have changed.
   * @param {AbortSignal} options.signal Ends it.
   */
  constructor(scroller, list, { userId, onNeedOlder, onScroll, signal }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#options = { userId, onNeedOlder, onScroll };
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

  /** @returns {RoomEvent[]} The newest messages, as many as a page has at first. */
  get newest() {
    const start = Math.max(this.#items.length - STEP, 0);
    return Array.from(
      { length: this.#items.length - start },
      (_, index) => this.#items.at(start + index).event,
    );
  }

  /** @param {number} seq A position. @returns {number} How many messages come after it. */
  countAfter(seq) {
    return this.#items.length - this.#items.indexAfter(seq);
  }

  /**
   * The first and last message that are visible, and whether day and sender of the first are.
   *
   * @returns {{first: RoomEvent, last: RoomEvent, hasDay: boolean, hasSender: boolean} | null}
   */
  get visible() {
    const { top, bottom } = this.#scroller.getBoundingClientRect();
    const rows = this.#list.children;
    // A pixel is not seen; the row that was scrolled to the top may be off by a part of one.
    const first = firstWhere(rows, (row) => row.getBoundingClientRect().bottom > top + 1);
    const last = firstWhere(rows, (row) => row.getBoundingClientRect().bottom > bottom + 1) - 1;
    const lastIndex = this.#isStuck ? rows.length - 1 : last;
    if (first === rows.length || lastIndex < first) {
      return null;
    }
    const isSeen = (/** @type {string} */ part) =>
      (rows[first].querySelector(part)?.getBoundingClientRect().bottom ?? top) > top;
    const hasSender = isSeen(".head") && !rows[first].classList.contains("continued");
    return { first: this.#eventAt(first), last: this.#eventAt(lastIndex), hasDay: isSeen(".day"), hasSender };
  }

  /** @param {number} index The index of a row. */
  #eventAt(index) {
    return this.#items.at(this.#start + index).event;
  }

  /** @param {number} before The position from which on all events are given to `append`. */
  begin(before) {
    this.#before ??= before; // after a reconnect, what is older than the first row is still older
    this.#settle();
  }

  /** Take all messages off the page, to begin again. */
  restart() {
    this.#items = new Items();
    this.#start = this.#end = 0;
    this.#before = undefined;
    this.#isComplete = false;
    this.#isStuck = true;
    this.#list.replaceChildren();
  }

  /**
   * Add newer messages at the end; a reader at the bottom stays there.
   *
   * @param {RoomEvent[]} messages In order.
   */
  append(messages) {
    this.#noticeScrolling();
    const wasWhole = this.#end === this.#items.length;
    this.#items.append(messages);
    if (!wasWhole) {
      return; // the end is not on the page
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
   * Add older messages in front; what is visible does not move.
   *
   * @param {RoomEvent[]} messages In order; they may be none.
   * @param {number | null} before The position that they begin at; null if there are no older ones at all.
   */
  prepend(messages, before) {
    this.#noticeScrolling();
    this.#before = before ?? undefined;
    this.#isComplete = before === null;
    const changed = this.#items.prepend(messages);
    const former = messages.length;
    this.#start += former;
    this.#end += former;
    this.#keeping(() => {
      for (let index = former; index < former + changed; index++) {
        this.#refresh(index);
      }
    });
    this.#extendUp();
    this.#settle();
  }

  /**
   * Test whether a message of the user would stand together with the newest one.
   *
   * @param {Date} time When the message was written.
   * @returns {boolean} Whether it would.
   */
  isContinuedBy(time) {
    return this.#items.isContinuedBy(this.#options.userId, time);
  }

  /** Show the newest message. */
  toBottom() {
    if (this.#end < this.#items.length) {
      this.#restartAt(this.#items.length - STEP);
    }
    this.#isStuck = true;
    this.#settle();
  }

  /** @param {number} seq A position. @param {string} text What a line says above the first message after it. */
  drawLine(seq, text) {
    const index = this.#items.indexAfter(seq);
    if (index < this.#items.length) {
      this.#line = { seq: this.#items.at(index).seq, text };
      this.#refresh(index);
    }
  }

  /**
   * Scroll to a message.
   *
   * @param {number} seq A position; the first message after it is shown near the top, if there is one.
   */
  scrollTo(seq) {
    const index = this.#items.indexAfter(seq);
    if (index === this.#items.length) {
      this.toBottom();
      return;
    }
    this.#restartAt(index - STEP);
    this.#isStuck = false;
    const row = this.#list.children[index - this.#start];
    const isUnderLine = this.#line?.seq === this.#items.at(index).seq;
    const space = isUnderLine ? this.#scroller.clientHeight * ABOVE : 0;
    const top = row.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top - space;
    this.#scroller.scrollTop += top;
    this.#scrolled();
  }

  /** Write the names of the days again: it is another day. */
  renameDays() {
    for (const row of this.#list.querySelectorAll(":has(> .day)")) {
      const index = [...this.#list.children].indexOf(row);
      this.#refresh(this.#start + index);
    }
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

  /** @param {number} start The index of the first item that is to be on the page; may be negative. */
  #restartAt(start) {
    this.#list.replaceChildren();
    this.#start = this.#end = Math.max(start, 0);
    this.#draw(Math.min(this.#start + MOST_ROWS, this.#items.length));
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
    if (row && index >= this.#start && index < this.#items.length) {
      const made = this.#row(index);
      row.className = made.className;
      row.replaceChildren(...made.childNodes); // the row itself stays, to keep its place by
    }
  }

  /** @param {number} index The index of an item. */
  #row(index) {
    const { event, time, isHead, seq } = this.#items.at(index);
    const isNew = this.#line?.seq === seq;
    const startsDay = this.#items.startsDay(index);
    const row = messageRow(event.memberName, event.message, time, {
      isOwn: event.userId === this.#options.userId,
      isContinued: !isHead && !isNew && !startsDay,
    });
    if (isNew) {
      row.prepend(element("p.new", {}, element("span", {}, this.#line?.text ?? "")));
    }
    if (startsDay) {
      row.prepend(element("h3.day", {}, element("span", {}, dayName(time))));
    }
    return row;
  }
}

/**
 * Find the first row of which something is true, which is then true of all after it.
 *
 * @param {HTMLCollection} rows The rows.
 * @param {(row: Element) => boolean} test Tests one.
 * @returns {number} Its index; the number of rows if there is none.
 */
function firstWhere(rows, test) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    [low, high] = test(rows[middle]) ? [low, middle] : [middle + 1, high];
  }
  return low;
}
