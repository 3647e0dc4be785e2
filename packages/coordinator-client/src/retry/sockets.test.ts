import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

import { describe, expect, it } from "vitest";

import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job } from "../test-support/test-client.ts";

const CALLS = 300;
const REFUSALS = 4;

describe("sockets of calls that are refused", () => {
  it(`are never more than there are calls in flight: ${CALLS} calls that meet ${REFUSALS} 429s with endless bodies each`, async ({
    annotate,
  }) => {
    using sockets = watchSockets();
    const arrivals = new Map<string | undefined, number>();
    const waiting: ServerResponse[] = [];
    await using server = await startServer((request, response) => {
      const call = request.headers["x-request-id"]?.toString();
      const attempt = (arrivals.get(call) ?? 0) + 1;
      arrivals.set(call, attempt);
      request.resume();
      if (attempt <= REFUSALS) {
        // Every second one as fast as it goes, the others so slowly that only the clock ends them.
        (arrivals.size % 2 === 0 ? flood : drip)(response.writeHead(429));
        return;
      }
      // All calls are in flight until the last attempt of the last one has arrived.
      waiting.push(response);
      if (waiting.length === CALLS) for (const each of waiting) each.writeHead(202).end();
    });
    await using test = createTestClient({
      url: server.url,
      sleep: (_ms, signal) => {
        signal?.throwIfAborted();
        return new Promise((resolve) => setImmediate(resolve));
      },
    });

    const results = await Promise.all(
      Array.from({ length: CALLS }, () => test.client.patchTrace(job, { offset: 0, bytes: bytes("line\n") })),
    );

    for (const result of results) expect(result).toMatchObject({ outcome: "ok", attempts: REFUSALS + 1 });
    await annotate(`${CALLS} calls, ${server.requests.length} requests: at most ${sockets.maximum} sockets at a time`);
    expect(server.requests).toHaveLength(CALLS * (REFUSALS + 1));
    expect(sockets.opened).toBeGreaterThan(CALLS);
    expect(sockets.maximum).toBeLessThanOrEqual(CALLS);
  }, 120_000);
});

/** Counts the sockets that this process opens to others. */
function watchSockets(): Disposable & { readonly maximum: number; readonly opened: number } {
  const open = new Set<Socket>();
  let maximum = 0;
  let opened = 0;
  const onSocket = (message: unknown): void => {
    const { socket } = message as { readonly socket: Socket };
    for (const each of open) if (each.destroyed) open.delete(each);
    open.add(socket);
    opened += 1;
    maximum = Math.max(maximum, open.size);
  };
  subscribe("net.client.socket", onSocket);
  return {
    get maximum() {
      return maximum;
    },
    get opened() {
      return opened;
    },
    [Symbol.dispose]: () => void unsubscribe("net.client.socket", onSocket),
  };
}

function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(65_536, "x");
  const write = (): void => {
    while (!response.destroyed && response.write(piece));
    if (!response.destroyed) response.once("drain", write);
  };
  write();
}

function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write("x"), 50);
  response.once("close", () => clearInterval(timer));
}
