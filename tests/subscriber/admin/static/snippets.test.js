import assert from "node:assert/strict";
import { test } from "node:test";
import { SNIPPETS, shellWord } from "../../../../subscriber/admin/static/model/snippets.js";

const PLAY = {
  subscriber: "https://localhost:8082",
  publisher: "https://localhost:8081",
  pattern: "a.>",
  topic: "a.b",
  content: `{"it": "it's"}`,
  last: "5",
};

test("what was typed stays one word of the shell", () => {
  assert.equal(shellWord("it's $HOME"), `'it'\\''s $HOME'`);
  const [events, post] = SNIPPETS.curl(PLAY).split("\n");
  assert.ok(events.endsWith("'https://localhost:8082/topics/a.%3E/events?last=5'"));
  assert.ok(post.includes(`--json '{"it": "it'\\''s"}' 'https://localhost:8081/topics/a.b/messages'`));
});

test("programs name topic, content and services", () => {
  assert.ok(SNIPPETS.python(PLAY).includes('Publisher("wss://localhost:8081", **how)'));
  assert.ok(SNIPPETS.python(PLAY).includes(String.raw`json.loads("{\"it\": \"it's\"}")`));
  assert.ok(
    SNIPPETS.javascript(PLAY).includes(
      'publish: "wss://localhost:8081",\n  subscribe: "wss://localhost:8082"',
    ),
  );
  assert.ok(SNIPPETS.javascript(PLAY).includes('client.subscribe("a.>", { last: 5 })'));
  assert.ok(!SNIPPETS.javascript({ ...PLAY, last: "" }).includes("last"));
});
