const HEADER = `/**
 * Fanline in pages, workers and Node: publish, subscribe, and take part in the rooms of chat.
 *
 * One file without dependencies; copy it to where your own page is. It connects by itself, reconnects
 * whenever the connection is lost, and resumes exactly: nothing is left out, nothing comes twice, nothing is
 * stored twice. docs/browser.md shows how to use it, docs/protocol.md what goes over the wire.
 *
 *     const fanline = connect({ publish: "wss://localhost:8081", subscribe: "wss://localhost:8082", token });
 *     const { seq } = await fanline.publish("orders.eu", { total: 12.5 });
 *     for await (const { topic, content } of fanline.subscribe("orders.>")) console.log(topic, content);
 *
 * Built from clients/js/src; change it there, and run \`make js\`.
 *
 * @module
 */
`;

/** Remove imports of types: in one file every type is at hand. */
const withoutTypeImports = {
  name: "without-type-imports",
  /** @param {string} code The source of one module. */
  transform: (code) => code.replace(/^\/\*\* @(import|typedef \{import\().*\*\/\n/gm, ""),
};

export default {
  input: "src/fanline.js",
  output: { file: "dist/fanline.js", format: "es", banner: HEADER },
  plugins: [withoutTypeImports],
};
