/**
 * What the playground does, in a program.
 *
 * @module
 */

/**
 * @typedef {{
 *   subscriber: string, publisher: string, pattern: string, topic: string, content: string, last: string,
 * }} Play What is done: the services as `https://HOST:PORT`, and what is in the fields.
 */

/** @param {string} text @returns {string} As one word of a shell. */
export const shellWord = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const wss = (/** @type {string} */ url) => url.replace(/^https/, "wss");

/** @param {Play} play @returns {string} Two commands. */
function curl({ subscriber, publisher, pattern, topic, content, last }) {
  const query = last ? `?last=${last}` : "";
  const events = `${subscriber}/topics/${encodeURIComponent(pattern)}/events${query}`;
  const messages = `${publisher}/topics/${encodeURIComponent(topic)}/messages`;
  return [
    `curl --cacert var/certs/ca.crt -N -H "Authorization: Bearer $TOKEN" ${shellWord(events)}`,
    `curl --cacert var/certs/ca.crt -H "Authorization: Bearer $TOKEN" --json ${shellWord(content)} ${shellWord(messages)}`,
  ].join("\n");
}

/** @param {Play} play @returns {string} A program. */
function python({ subscriber, publisher, pattern, topic, content, last }) {
  const text = (/** @type {string} */ value) => JSON.stringify(value);
  const from = last ? `, last=${last}` : "";
  return `import asyncio
import json
import os
from pathlib import Path

from fanline import Publisher, Subscriber, client_context

how = {"token": os.environ["TOKEN"], "tls": client_context(Path("var/certs"))}


async def main():
    async with Publisher(${text(wss(publisher))}, **how) as publisher:
        await publisher.publish(${text(topic)}, json.loads(${text(content)}))
    async with Subscriber(${text(pattern)}${from}, url=${text(wss(subscriber))}, **how) as subscriber:
        async for message in subscriber:
            print(message.topic, message.value())


asyncio.run(main())
`;
}

/** @param {Play} play @returns {string} A module. */
function javascript({ subscriber, publisher, pattern, topic, content, last }) {
  const text = (/** @type {string} */ value) => JSON.stringify(value);
  const from = last ? `, { last: ${last} }` : "";
  return `import { connect } from "./fanline.js";

const client = connect({
  publish: ${text(wss(publisher))},
  subscribe: ${text(wss(subscriber))},
  token,
});
await client.publish(${text(topic)}, ${content});
for await (const message of client.subscribe(${text(pattern)}${from})) {
  console.log(message.topic, message.content);
}
`;
}

/** @type {Record<string, (play: Play) => string>} */
export const SNIPPETS = { curl, python, javascript };
