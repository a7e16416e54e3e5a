const HEADER = `/**
 * Fanline in a browser: publish, subscribe, and take part in the rooms of chat.
 *
 * One file without dependencies; copy it to where your own page is. All classes connect by themselves, reconnect
 * whenever the connection is lost, and resume exactly: nothing is left out, nothing comes twice, nothing is
 * stored twice. docs/browser.md shows how to use them, docs/protocol.md what goes over the wire.
 *
 *     const publisher = new Publisher("wss://localhost:8081", { token });
 *     const { seq } = await publisher.publish("orders.eu", { total: 12.5 });
 *
 *     const subscriber = new Subscriber("wss://localhost:8082", { token });
 *     await subscriber.subscribe("orders.>", (message) => console.log(message.topic, message.content));
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
