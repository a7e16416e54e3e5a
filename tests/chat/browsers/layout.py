"""Faults of the layout of a page, in any browser: a function for its ``evaluate``."""

OWN_NAME = "Long " * 12 + "Name"

NAMES = ["دانا", "W" * 64]

ROOM_NAME = "غرفة"

MIXED = "מה שלומך?\nThe room is back."

ZALGO = "Z" + "\u0310\u0311\u0312\u0313\u0314" * 12

DROP_A_FILE = """() => {
  const data = new DataTransfer();
  data.items.add(new File(["x"], "x.png", { type: "image/png" }));
  const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById("messages").dispatchEvent(drop);
}"""

PROBLEMS = """() => {
  const found = [];
  const check = (isRight, what) => isRight || found.push(what);
  const all = (where) => [...document.querySelectorAll(where)];
  const box = (where) => (typeof where === "string" ? all(where)[0] : where).getBoundingClientRect();
  const isNear = (one, other, by = 1) => Math.abs(one - other) <= by;

  // The messages and the composer have the same edges, next to a scrollbar that takes space.
  const column = document.getElementById("column");
  const { paddingLeft, paddingRight } = getComputedStyle(column);
  const left = box(column).left + parseFloat(paddingLeft);
  const right = box(column).right - parseFloat(paddingRight);
  const scroller = document.getElementById("scroller");
  check(scroller.offsetWidth > scroller.clientWidth, "no scrollbar");
  const composer = box("#composer");
  check(isNear(left, composer.left), `messages begin at ${left}, composer at ${composer.left}`);
  check(isNear(right, composer.right), `messages end at ${right}, composer at ${composer.right}`);

  // So has what is above them, whatever the direction of the room's name.
  const title = document.createRange();
  title.selectNodeContents(document.getElementById("room-title"));
  check(isNear(left, box(title).left), `messages begin at ${left}, the title at ${box(title).left}`);

  // Names stand next to their avatars and times, whatever their direction and length.
  for (const row of all("#members li, #own-name")) {
    const text = row.querySelector("bdi") ?? row.querySelector(".name");
    const gap = box(text).left - box(row.querySelector(".avatar")).right;
    check(gap >= 4 && gap <= 16, `${row.innerText}: ${gap} px from the avatar`);
  }
  for (const link of all("#rooms a")) {
    const gap = box(link.querySelector("bdi")).left - box(link).left;
    check(gap <= 16, `${link.innerText}: ${gap} px from its edge`);
  }
  for (const head of all(".message:not(.continued) > .head")) {
    check(box(head).right <= right + 1, `${head.innerText}: out of the column`);
    const lines = [...head.querySelector("bdi").getClientRects()];
    const gap = box(head.querySelector("time")).left - lines.at(-1).right;
    check(gap >= 3 && gap <= 16, `${head.innerText}: ${gap} px from name to time`);
  }
  const isCut = (part) => part.scrollWidth > part.clientWidth;
  check(!all(".continued > .head").some(isCut), "a time is wider than the margin");
  const own = document.querySelector("#own-name .name");
  check(own.scrollWidth > own.clientWidth, "the own name is not long");
  check(getComputedStyle(own).textOverflow === "ellipsis", "the own name is cut without an ellipsis");
  check(box(own).right <= box("#log-out").left, "the own name covers the button");

  // Each line of a text has its own direction, and marks above it do not leave it.
  const mixed = all(".bubble").find((each) => each.innerText.includes("room is back"));
  const text = [...mixed.childNodes].find((node) => node.data?.includes("room"));
  const at = (index) => {
    const range = document.createRange();
    range.setStart(text, index);
    range.setEnd(text, index + 1);
    return range.getBoundingClientRect();
  };
  const start = text.data.indexOf("The");
  check(at(text.data.length - 1).left > at(start).left, "the full stop is left of its sentence");
  check(at(text.data.indexOf("?")).left < at(0).left, "the question mark is right of its sentence");
  const isClipped = (bubble) => getComputedStyle(bubble).overflowY === "clip";
  check(all(".bubble").every(isClipped), "marks leave their bubble");

  // The placeholder is in the middle, notes are not over the newest message, and nothing is too wide.
  const middle = ({ top, bottom }) => (top + bottom) / 2;
  check(isNear(middle(box("#text")), middle(composer)), "the placeholder is not in the middle");
  const newest = all("#messages .bubble").at(-1);
  const isAbove = (note) => box(note).bottom < box(newest).top;
  check(all("#notes .note").every(isAbove), "a note is over the newest message");
  for (const each of all("#scroller, #room, #room > header, .panel, .panel ul, body")) {
    check(each.scrollWidth <= each.clientWidth, `${each.id || each.tagName} scrolls sideways`);
  }
  return found;
}"""
