export { Backoff } from "./backoff.js";
export { Link } from "./connection.js";
export { CloseCode, Closed, Rejected } from "./errors.js";
export { claims } from "./login.js";
export { Publisher } from "./publisher.js";
export { Room } from "./room.js";
export { Subscriber } from "./subscriber.js";
export { matches } from "./topics.js";

/** @typedef {import("./connection.js").LinkOptions} LinkOptions */
/** @typedef {import("./connection.js").State} State */
/** @typedef {import("./login.js").Token} Token */
/** @typedef {import("./publisher.js").Ack} Ack */
/** @typedef {import("./room.js").RoomEvent} RoomEvent */
/** @typedef {import("./subscriber.js").Gap} Gap */
/** @typedef {import("./subscriptions.js").Message} Message */
