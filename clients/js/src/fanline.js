export { connect, Fanline } from "./connect.js";
export { Link } from "./connection.js";
export { CloseCode, Closed, Rejected } from "./errors.js";
export { claims } from "./login.js";
export { Presence } from "./presence.js";
export { Room } from "./room.js";
export { Subscription } from "./subscription.js";
export { matches } from "./topics.js";

/** @typedef {import("./connect.js").Addresses} Addresses */
/** @typedef {import("./connection.js").LinkOptions} LinkOptions */
/** @typedef {import("./connection.js").State} State */
/** @typedef {import("./http.js").HistoryOptions} HistoryOptions */
/** @typedef {import("./http.js").HistoryPage} HistoryPage */
/** @typedef {import("./login.js").Token} Token */
/** @typedef {import("./presence.js").Present} Present */
/** @typedef {import("./publisher.js").Ack} Ack */
/** @typedef {import("./room.js").RoomEvent} RoomEvent */
/** @typedef {import("./subscriptions.js").Gap} Gap */
/** @typedef {import("./subscriptions.js").Message} Message */
/** @typedef {import("./subscriptions.js").Session} Session */
/** @typedef {import("./subscriptions.js").Start} Start */
