import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { join } from "node:path";
import { importImage, runProgram, systemEnvironment } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { beforeAll, expect, it } from "vitest";

describeWithSystem("docker-engine", (engine) => {
  beforeAll(() => importImage(engine()));

  it("PE A43: an engine behind a unix socket is reached directly, whatever the proxy variables say", async () => {
    await using proxy = await startRecordingProxy();
    expect(await runScriptBehind(proxy, engine().dockerHost)).toBe("out of the container");
    expect(proxy.requests).toEqual([CONTROL]);
  });

  it("PE A44: an engine at a TCP address is reached directly, its streams included", async () => {
    await using proxy = await startRecordingProxy();
    await using bridge = await startBridge(engine().socketPath);
    expect(await runScriptBehind(proxy, `tcp://127.0.0.1:${bridge.port}`)).toBe("out of the container");
    expect(proxy.requests).toEqual([CONTROL]);
  });
});

const CONTROL = "GET http://control.invalid/ HTTP/1.1";

/**
 * Runs a script in a container from a process whose every variable says that there is a proxy, and in which Node itself uses it:
 * a request of Node's own proves that.
 */
async function runScriptBehind(proxy: RecordingProxy, host: string): Promise<string> {
  const program = `
    import { get } from "node:http";
    import { once } from "node:events";
    import { openHarness, release, runScript } from "./src/test-support/harness.ts";
    const [response] = await once(get("http://control.invalid/"), "response");
    response.resume();
    const harness = await openHarness(${JSON.stringify(host)});
    const environment = await harness.prepare();
    const { stdout } = await runScript(environment, "echo out of the container");
    await release(environment);
    await harness[Symbol.asyncDispose]();
    process.stdout.write(stdout.trim());
  `;
  const names = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
  const proxies = Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${proxy.port}`]));
  return await runProgram(
    process.execPath,
    ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program],
    {
      folder: join(import.meta.dirname, "../.."),
      environment: { ...systemEnvironment("/tmp"), NODE_USE_ENV_PROXY: "1", ...proxies },
    },
  );
}

interface RecordingProxy extends AsyncDisposable {
  readonly port: number;
  /** First lines of all that came in. */
  readonly requests: readonly string[];
}

/** Writes down whatever it is asked, and answers that there is nothing. */
async function startRecordingProxy(): Promise<RecordingProxy> {
  const requests: string[] = [];
  const server = createServer((socket) => {
    socket.once("data", (bytes) => {
      requests.push(bytes.toString("latin1").split("\r\n", 1)[0] ?? "");
      socket.end("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    });
    socket.on("error", () => socket.destroy());
  });
  return { ...(await listen(server)), requests };
}

/** Gives an engine a TCP address. */
function startBridge(socketPath: string): Promise<{ readonly port: number } & AsyncDisposable> {
  return listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      const engine = connect({ path: socketPath, allowHalfOpen: true });
      socket.pipe(engine).pipe(socket);
      socket.on("error", () => engine.destroy());
      engine.on("error", () => socket.destroy());
    }),
  );
}

async function listen(server: Server): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
