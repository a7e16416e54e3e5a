// What TypeScript sees of the package: compiled with everything else, and never run.
import { type Ack, connect, type Gap, type HistoryPage, Rejected, type State } from "fanline";

type Order = { total: number };

export async function checkTypes(): Promise<number> {
  const fanline = connect({ publish: "wss://x", subscribe: "wss://y", token: async () => "t" });
  const orders = fanline.subscribe<Order>("orders.>", { last: 20, signal: AbortSignal.timeout(1) });
  orders.on("message", ({ content, seq }) => content.total + seq);
  orders.on("gap", (gap: Gap) => gap.isNewLog);
  orders.on("error", (error: Error) => error.message);
  const off: () => void = fanline.on("state", ({ phase }: State) => phase === "paused");
  off();
  // @ts-expect-error There is no such event.
  orders.on("messages", () => {});
  // @ts-expect-error There is no such option.
  fanline.subscribe("orders", { since: 1 });
  // @ts-expect-error A token is a text, or a function that returns one.
  connect({ publish: "wss://x", token: 5 });
  for await (const { content } of orders) {
    // @ts-expect-error An order has no such field.
    content.sum;
    break;
  }
  const page: HistoryPage<Order> = await fanline.history<Order>("orders.eu", { last: 5 });
  const ack: Ack = await fanline.publish("orders.eu", { total: 1 }, { traceparent: page.messages[0].traceparent });
  return ack.seq + page.messages[0].content.total + new Rejected("too-big", "…").code.length;
}
