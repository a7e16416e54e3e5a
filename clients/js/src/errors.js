/** Close codes that an application can meet; see `State.code`. */
export const CloseCode = Object.freeze({
  GOING_AWAY: 1001,
  POLICY: 1008,
  TOO_BIG: 1009,
  TRY_AGAIN_LATER: 1013,
  LOGGED_OUT: 4001,
  ROOM_DELETED: 4004,
  TOO_SLOW: 4008,
  UNRESPONSIVE: 4009,
});

/** One request was refused; the connection goes on. */
export class Rejected extends Error {
  /**
   * @param {string} code The kind of refusal, for programs: `forbidden`, `bad-topic`, `too-big`, …
   * @param {string} reason A sentence for people.
   * @param {string} [id] The id of the refused message.
   */
  constructor(code, reason, id) {
    super(reason);
    this.name = "Rejected";
    this.code = code;
    this.id = id;
  }
}

/** The connection was closed and is not opened again. */
export class Closed extends Error {
  /**
   * @param {string} reason A sentence for people.
   * @param {number} [code] The close code, if the server closed it.
   */
  constructor(reason, code) {
    super(reason);
    this.name = "Closed";
    this.code = code;
  }
}
