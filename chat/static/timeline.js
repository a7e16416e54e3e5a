/**
 * The messages of a room: all that are loaded in memory, of which only those around what is seen are on the page.
 *
 * However long a room is, there are at most `MOST_ROWS` rows. What is scrolled to is put in at one end, what is far
 * away is taken out at the other, and what is seen does not move by it.
 *
 * @module
 */

import { avatar, element } from "./dom.js";
import { netEffect } from "./presence.js";
import { counted, dayName, isSameDay, linkified, namesOf, timeOfDay } from "./text.js";

const MOST_ROWS = 300;
const STEP = 60;
const MOST_ITEMS = 3_000; // in memory, while nobody looks at the old ones
const NEAR = 700; // pixels from an end at which more is put in
const AT_BOTTOM = 48; // pixels that still count as the bottom
const SAME_BREATH = 5 * 60_000; // messages of one sender this close together stand together
const LONG_CHARACTERS = 1_500;
const LONG_LINES = 24;

/**
 * One row: a message, or a row of comings and goings.
 *
 * @typedef {object} Item
 * @property {number} seq Its position; of several, the first one.
 * @property {Date} time When.
 * @property {import("./fanline.js").RoomEvent[]} events What happened; a message stands alone.
 * @property {boolean} isMessage Which of the two.
 */

/** Shows the messages of one room. */
export class Timeline {
  #scroller;
  #list;
  #options;
  /** @type {Item[]} */
  #items = [];
  #start = 0;
  #end = 0;
  #isStuck = true;
  #lastTop = 0;
  #before;
  #isComplete = false;

  /**
   * @param {HTMLElement} scroller What scrolls.
   * @param {HTMLOListElement} list What the rows go into.
   * @param {object} options
   * @param {string} options.name Whose messages are one's own.
   * @param {(before: number) => void} options.onNeedOlder Called when older messages are wanted, whenever one
   *   scrolls: those before a position.
   * @param {() => void} options.onScroll Called when `isAtBottom` may have changed.
   * @param {AbortSignal} options.signal Ends it.
   */
  constructor(scroller, list, { name, onNeedOlder, onScroll, signal }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#options = { name, onNeedOlder, onScroll };
    list.replaceChildren();
    scroller.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    const observer = new ResizeObserver(() => {
      this.#notice();
      this.#settle();
    });
    observer.observe(scroller);
    observer.observe(list.parentElement);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** @returns {boolean} Whether the newest message is in sight. */
  get isAtBottom() {
    return this.#isStuck;
  }

  /** @param {number} before Everything from this position on is given to `append`; older ones may be wanted. */
  begin(before) {
    this.#before = before;
    this.#settle();
  }

  /**
   * Put newer events at the end; who looks at the end goes on doing so.
   *
   * @param {import("./fanline.js").RoomEvent[]} events In order.
   */
  append(events) {
    this.#notice();
    const wasWhole = this.#end === this.#items.length;
    const before = this.#items.length;
    const isMerged = mergeInto(this.#items, events);
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
   * Put older events in front; what is seen does not move.
   *
   * @param {import("./fanline.js").RoomEvent[]} events In order; none if there are no older ones at all.
   */
  prepend(events) {
    this.#notice();
    if (events.length === 0) {
      this.#isComplete = true;
      this.#keeping(() => this.#refresh(0));
      return;
    }
    this.#before = events[0].seq;
    const older = [];
    mergeInto(older, events);
    const [first] = this.#items;
    const last = older.at(-1);
    if (first && isOneRow(last, first)) {
      older.pop();
      Object.assign(first, { seq: last.seq, events: [...last.events, ...first.events] });
    }
    this.#items.unshift(...older);
    this.#start += older.length;
    this.#end += older.length;
    this.#extendUp();
    this.#settle();
  }

  /**
   * @param {Date} time A moment.
   * @returns {boolean} Whether one's own message of then would stand together with the newest one.
   */
  isContinuedAt(time) {
    return this.#isContinued(this.#items.length, this.#options.name, time);
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
    this.#isStuck = below < AT_BOTTOM && this.#end === this.#items.length;
    this.#lastTop = scrollTop;
    if (scrollTop < NEAR) {
      this.#extendUp();
    }
    if (below < NEAR && this.#end < this.#items.length) {
      this.#extendDown();
    }
    this.#options.onScroll();
  }

  /** Notice that somebody scrolls up, before the browser tells: they are not to be pulled back down. */
  #notice() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (scrollTop < this.#lastTop && scrollHeight - scrollTop - clientHeight >= AT_BOTTOM) {
      this.#isStuck = false;
    }
  }

  /** Stay at the bottom, if that is where one is; see that there is enough to scroll. */
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
      this.#trimTop();
    });
  }

  /** Put the rows up to `end` on the page, and take out those that are before the start. */
  #draw(end = this.#items.length) {
    if (this.#end < this.#start) {
      this.#list.replaceChildren();
      this.#end = this.#start;
    }
    this.#list.append(this.#rows(this.#end, end));
    this.#end = end;
    while (this.#list.childElementCount > this.#end - this.#start) {
      this.#list.firstElementChild.remove();
    }
  }

  #trimTop() {
    while (this.#end - this.#start > MOST_ROWS) {
      this.#list.firstElementChild.remove();
      this.#start++;
    }
  }

  #trimBottom() {
    while (!this.#isStuck && this.#end - this.#start > MOST_ROWS) {
      this.#list.lastElementChild.remove();
      this.#end--;
    }
  }

  /** The log has the old ones still: they are loaded again if somebody wants to see them. */
  #forgetOldest() {
    if (this.#items.length > MOST_ITEMS) {
      const count = Math.min(this.#start, this.#items.length - MOST_ITEMS / 2);
      this.#items.splice(0, count);
      this.#start -= count;
      this.#end -= count;
      this.#before = this.#items[0].seq;
      this.#isComplete = false;
    }
  }

  /** Change rows outside of what is seen, without moving what is seen. */
  #keeping(change) {
    if (this.#isStuck) {
      change();
      return;
    }
    const top = this.#scroller.getBoundingClientRect().top;
    const [, ...rows] = this.#list.children; // the first one may be replaced
    const seen = rows.find((row) => row.getBoundingClientRect().bottom > top);
    const before = seen?.getBoundingClientRect().top;
    change();
    if (seen) {
      this.#scroller.scrollTop += seen.getBoundingClientRect().top - before;
    }
  }

  #rows(start, end) {
    const rows = document.createDocumentFragment();
    for (let index = start; index < end; index++) {
      rows.append(this.#row(index));
    }
    return rows;
  }

  #refresh(index) {
    const row = this.#list.children[index - this.#start];
    if (row && index < this.#items.length) {
      row.replaceWith(this.#row(index));
    }
  }

  #row(index) {
    const item = this.#items[index];
    const previous = this.#items[index - 1];
    const row = item.isMessage ? this.#message(item, index) : this.#presence(item);
    if (previous ? !isSameDay(previous.time, item.time) : this.#isComplete) {
      row.prepend(element("h3.day", {}, element("span", {}, dayName(item.time))));
    }
    return row;
  }

  #message({ events: [event], time }, index) {
    const isOwn = event.memberName === this.#options.name;
    const row = messageRow(event.memberName, event.message, time, { isOwn });
    row.classList.toggle("continued", this.#isContinued(index, event.memberName, time));
    return row;
  }

  /** Whether a message stands together with the one before it. */
  #isContinued(index, name, time) {
    const skipsOne =
      this.#items[index - 1]?.isMessage === false && this.#change(this.#items[index - 1]) === "";
    const previous = this.#items[skipsOne ? index - 2 : index - 1];
    return (
      previous?.isMessage === true &&
      previous.events[0].memberName === name &&
      isSameDay(previous.time, time) &&
      time - previous.time < SAME_BREATH
    );
  }

  #presence(item) {
    const text = this.#change(item);
    return element("li.presence", {}, element("p", { hidden: !text }, text));
  }

  /** What comings and goings have come to; one's own are not worth a word. */
  #change({ events }) {
    const { joined, left } = netEffect(events.filter(({ memberName }) => memberName !== this.#options.name));
    const parts = [joined.length && `${namesOf(joined)} joined`, left.length && `${namesOf(left)} left`];
    return parts.filter(Boolean).join(" · ");
  }
}

/**
 * Put events at the end of items, comings and goings in a row into one.
 *
 * @returns {boolean} Whether the last item has taken some in.
 */
function mergeInto(items, events) {
  let isMerged = false;
  const before = items.length;
  for (const event of events) {
    const last = items.at(-1);
    const time = new Date(event.sent);
    const item = { seq: event.seq, time, isMessage: event.type === "chat", events: [event] };
    if (last && isOneRow(last, item)) {
      last.events.push(event);
      isMerged ||= items.length === before;
    } else {
      items.push(item);
    }
  }
  return isMerged;
}

const isOneRow = (one, next) => !one.isMessage && !next.isMessage && isSameDay(one.time, next.time);

/**
 * A message as a row of a list.
 *
 * @param {string} name Who says it.
 * @param {string} text What.
 * @param {Date} time When.
 * @param {{isOwn: boolean}} how Whether it is one's own.
 * @returns {HTMLElement} The row.
 */
export function messageRow(name, text, time, { isOwn }) {
  const head = element("p.head", {}, element("bdi.name", {}, isOwn ? "You" : name), " ", timeOfDay(time));
  return isOwn
    ? element("li.message.own", {}, head, words(text))
    : element("li.message", {}, avatar(name), head, words(text));
}

/** The text of a message; of a long one the beginning, and a way to the rest. */
function words(text) {
  const bubble = element("div.bubble", { dir: "auto" });
  const end = beginning(text);
  bubble.append(...linkified(text.slice(0, end)));
  if (end < text.length) {
    const unfold = () => bubble.replaceChildren(...linkified(text));
    const more = `Show ${counted(text.length - end, "more character")}`;
    bubble.append("… ", element("button.more", { type: "button", onclick: unfold }, more));
  }
  return bubble;
}

/** Where the beginning of a message ends: if it is long enough for that to be worth a click. */
function beginning(text) {
  const lines = text.split("\n");
  const isLong = text.length > LONG_CHARACTERS * 1.2 || lines.length > LONG_LINES * 1.2;
  return isLong ? Math.min(lines.slice(0, LONG_LINES).join("\n").length, LONG_CHARACTERS) : text.length;
}
