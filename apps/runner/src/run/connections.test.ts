import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { noopLogger, Secret } from "@fleetfoot/coordinator-client";
import { readProxyEnvironment } from "@fleetfoot/proxy-env";
import { parseRunnerConfig, type RunnerEntry } from "@fleetfoot/runner-config";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { trackChildGroups } from "../executors/child-groups.ts";
import { noopObserver } from "./observer.ts";
import { openConnections } from "./connections.ts";

const SHARED = { connectionMaxAgeMs: 900_000 };

describe("openConnections", () => {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(204).end();
  });
  // Only the runner closes connections.
  server.keepAliveTimeout = 0;
  const connections = openConnections({
    environment: {},
    network: {
      proxies: readProxyEnvironment({}),
      certificatesDirectory: "/nonexistent",
      currentDirectory: "/nonexistent",
    },
    systemId: "s_0a1b2c3d4e5f",
    instance: "test",
    workingDirectory: "/nonexistent",
    spawn: trackChildGroups().spawn,
    logger: noopLogger,
    observer: noopObserver,
  });
  beforeEach(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(async () => {
    await connections.close();
    server.close();
    await once(server, "close");
  });

  function entryOf(token: string): RunnerEntry {
    const { port } = server.address() as AddressInfo;
    const text = `[[runners]]\nname = "x"\nurl = "http://127.0.0.1:${port}"\ntoken = "${token}"\nexecutor = "shell"\n`;
    const entry = parseRunnerConfig(text).config?.runners[0];
    if (entry === undefined) throw new Error("the configuration is broken");
    return entry;
  }

  async function connect(entry: RunnerEntry): Promise<Socket> {
    const connected = once(server, "connection");
    await connections
      .of(entry, SHARED)
      ?.client.requestJob({ token: new Secret(entry.token), systemId: "s_0a1b2c3d4e5f" });
    const [socket] = (await connected) as [Socket];
    return socket;
  }

  it("gives the same client and executor for a runner that has not changed", () => {
    const first = connections.of(entryOf("glrt-a"), SHARED);
    connections.keepOnly({ ...SHARED, runners: [entryOf("glrt-a")] });
    expect(connections.of(entryOf("glrt-a"), SHARED)).toBe(first);
    expect(connections.of(entryOf("glrt-b"), SHARED)).not.toBe(first);
    expect(connections.of(entryOf("glrt-a"), { connectionMaxAgeMs: 0 })).not.toBe(first);
  });

  it("closes those of a removed runner, and no others", async () => {
    const kept = await connect(entryOf("glrt-a"));
    const removed = await connect(entryOf("glrt-b"));
    const closed = once(removed, "close");
    connections.keepOnly({ ...SHARED, runners: [entryOf("glrt-a")] });
    await closed;
    expect(kept.destroyed).toBe(false);
  });

  it("closes those of a removed runner with a job only when the job has ended", async () => {
    const entry = entryOf("glrt-a");
    const socket = await connect(entry);
    const connection = connections.of(entry, SHARED);
    const held = connection?.hold();
    const closed = once(socket, "close");
    connections.keepOnly({ ...SHARED, runners: [] });
    const answer = await connection?.client.requestJob({ token: new Secret("x"), systemId: "s_0a1b2c3d4e5f" });
    expect(answer).toMatchObject({ status: 204 });
    held?.release();
    await closed;
  });

  it("closes nothing that a second job holds when the first one releases it twice", async () => {
    const entry = entryOf("glrt-a");
    const socket = await connect(entry);
    const connection = connections.of(entry, SHARED);
    const [first, second] = [connection?.hold(), connection?.hold()];
    const closed = once(socket, "close");
    connections.keepOnly({ ...SHARED, runners: [] });
    first?.release();
    first?.release();
    const answer = await connection?.client.requestJob({ token: new Secret("x"), systemId: "s_0a1b2c3d4e5f" });
    expect(answer).toMatchObject({ status: 204 });
    second?.release();
    await closed;
  });

  it("keeps those of a runner that was removed and added again while its job ran", async () => {
    const entry = entryOf("glrt-a");
    const first = connections.of(entry, SHARED);
    const held = first?.hold();
    connections.keepOnly({ ...SHARED, runners: [] });
    connections.keepOnly({ ...SHARED, runners: [entry] });
    held?.release();
    expect(connections.of(entry, SHARED)).toBe(first);
  });
});
