// @ts-nocheck: React has no types of its own.
// The package as it is used: how large it is, in a bundler, with types, in React.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as React from "react";
import { act, create } from "react-test-renderer";
import { rollup } from "rollup";
import { minify } from "terser";
import { connect } from "../src/fanline.js";
import { message, Script } from "./scripted.js";

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/** @param {string} source A module that imports the client from `fanline`. @returns {Promise<string>} One file. */
async function bundled(source) {
  const resolveId = (/** @type {string} */ id) => (id === "fanline" ? path("../src/fanline.js") : null);
  const load = (/** @type {string} */ id) => (id === "app" ? source : null);
  const app = {
    name: "app",
    resolveId: (/** @type {string} */ id) => (id === "app" ? id : resolveId(id)),
    load,
  };
  const bundle = await rollup({ input: "app", plugins: [app] });
  const [{ code }] = (await bundle.generate({ format: "es" })).output;
  return code;
}

/** @param {{useTopic: Function, fanline: object, pattern: string}} props */
function Orders({ useTopic, fanline, pattern }) {
  const { messages, error } = useTopic(fanline, pattern, 2);
  return error ? error.message : messages.map((/** @type {any} */ { seq }) => seq).join();
}

const LARGEST = 10 * 1024;

test("is smaller than 10 KB, minified and compressed", async () => {
  const all = await bundled('export * from "fanline";');
  const { code = "" } = await minify(all, { module: true });
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size < LARGEST, `${size} bytes`);
});

test("leaves out in a bundle what a page does not use", async () => {
  const app = await bundled('import { connect } from "fanline"; connect({ publish: "wss://x" });');
  assert.match(app, /class Publisher/);
  assert.doesNotMatch(app, /class Room/);
});

test("shows the newest messages by the React hook of the documentation", async () => {
  // line 50
  mock.method(console, "error", () => {}); // the renderer says that it is not for new projects
  const page = readFileSync(path("../../../docs/browser.md"), "utf8");
  const [, hook] = /^```jsx\n([\s\S]*?)^```/m.exec(page) ?? [];
  const { useEffect, useState } = React;
  const source = hook.replace(/^import .*$/m, "").replace("export function", "return function");
  const useTopic = new Function("useEffect", "useState", source)(useEffect, useState);
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

  const script = new Script();
  const fanline = connect({ subscribe: "wss://x", WebSocket: script.WebSocket });
  const lists = (/** @type {string[]} */ ...patterns) =>
    React.createElement(
      React.StrictMode,
      null,
      patterns.map((pattern, key) => React.createElement(Orders, { useTopic, fanline, pattern, key })),
    );
  const rendered = await act(async () => create(lists("a", "a")));
  const socket = await script.opened();
  await act(async () => {
    socket.receive({ subscribed: "a", seq: 0 });
    socket.receive(message("a", 1), message("a", 2), message("a", 3));
  });
  assert.deepEqual(rendered.toJSON(), ["2,3", "2,3"]);
  await act(async () => rendered.update(lists("a")));
  await act(async () => socket.receive(message("a", 4)));
  assert.equal(rendered.toJSON(), "3,4");
  await act(async () => rendered.update(lists("b")));
  await act(async () => socket.receive({ error: "forbidden", reason: "not for you", sub: "b" }));
  assert.equal(rendered.toJSON(), "not for you");
  fanline.close();
  mock.restoreAll();
});
