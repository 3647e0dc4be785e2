import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { noopLogger } from "@fleetfoot/coordinator-client";
import type { PrepareRequest } from "@fleetfoot/job-runner";
import { describe, expect, it } from "vitest";
import { createDockerJobExecutor } from "./docker-executor.ts";

describe("createDockerJobExecutor", () => {
  it("does not keep a job that is stopped waiting for an engine that does not answer", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const executor = createDockerJobExecutor({
      token: "glrt-example",
      systemId: "s_0123456789ab",
      instance: "test",
      workingDirectory: "/nonexistent",
      docker: undefined,
      environment: { DOCKER_HOST: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` },
      runningJobs: new Set(),
      held: new Map(),
      logger: noopLogger,
    });
    await once(server, "connection");
    const job = new AbortController();
    const prepared = executor.prepare({ signal: job.signal } as PrepareRequest);
    const reason = new Error("the job is cancelled");
    job.abort(reason);
    await expect(prepared).rejects.toBe(reason);
    await executor.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});
