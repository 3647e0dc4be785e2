import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";

import { createCoordinatorClient } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { JobInterrupted } from "./interruption.ts";
import { helloJob, openHarness } from "./test-support/job-harness.ts";
import type { Harness } from "./test-support/job-harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await openHarness();
});
afterEach(() => harness.dispose());

describe("a coordinator that is given up", () => {
  it.each([
    { what: "does not answer that the job runs", method: "PUT", answer: () => undefined, outcome: "failed" },
    { what: "does not answer a piece of the log", method: "PATCH", answer: () => undefined, outcome: "success" },
    {
      what: "wants an hour of patience",
      method: "PATCH",
      answer: (response: ServerResponse) => void response.writeHead(429, { "retry-after": "3600" }).end(),
      outcome: "success",
    },
  ])("and $what does not keep the job from ending", async ({ method, answer, outcome }) => {
    const stop = new AbortController();
    const giveUp = new AbortController();
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      request.resume().once("end", () => {
        if (request.method !== method) return void response.writeHead(200).end();
        answer(response);
        if (method === "PUT") stop.abort(JobInterrupted.processStopped());
        giveUp.abort(new Error("the time is up"));
        return undefined;
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const client = createCoordinatorClient({
      url: `http://127.0.0.1:${port}`,
      info: { name: "fleetfoot", version: "19.4.0" },
    });
    try {
      const { result } = await harness.run(helloJob(), {
        options: { client, signal: stop.signal, giveUpSignal: giveUp.signal },
      });
      expect(result).toMatchObject({ outcome, delivered: false });
    } finally {
      server.closeAllConnections();
      server.close();
      await client.close();
    }
  });
});
