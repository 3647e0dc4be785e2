import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { describeWithProgram, describeWithSystem } from "./describe-with-system.ts";
import { systemEnvironment } from "./environment.ts";
import { runProgram } from "./run-program.ts";
import { startSquid } from "./squid.ts";
import { startTinyproxy } from "./tinyproxy.ts";

const user = "user";
const password = "p4ss";

describeWithProgram("curl", (curl) => {
  /** Status of a request through a proxy, or of the refused tunnel. */
  const through = async (proxy: string, ...args: readonly string[]) => {
    await using target = await startTarget();
    const format = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{http_connect}"];
    return await runProgram(
      "sh",
      ["-c", '"$@" || true', "sh", curl().path, ...format, "--proxy", proxy, ...args, target.url],
      {
        environment: systemEnvironment("/nonexistent"),
      },
    );
  };

  describeWithSystem(
    "squid",
    (squid) => {
      it("forwards for its user, and lists the request", async () => {
        expect(await through(`http://${user}:${password}@${squid().authority}`)).toBe("204 000");
        await expect
          .poll(() => squid().finishedRequests())
          .toContainEqual(expect.objectContaining({ method: "GET", status: 204, user }));
      });

      it("wants credentials, and no tunnel to a port that it does not know", async () => {
        expect(await through(`http://${squid().authority}`)).toBe("407 000");
        expect(await through(`http://${user}:${password}@${squid().authority}`, "--proxytunnel")).toBe("000 403");
      });
    },
    () => startSquid({ authentication: { user, password } }),
  );

  describeWithSystem(
    "tinyproxy",
    (tinyproxy) => {
      it("forwards and tunnels for its user only", async () => {
        const proxy = `http://${user}:${password}@${tinyproxy().authority}`;
        expect(await through(proxy)).toBe("204 000");
        expect(await through(proxy, "--proxytunnel")).toBe("204 200");
        expect(await through(`http://${tinyproxy().authority}`)).toBe("407 000");
      });
    },
    () => startTinyproxy({ basicAuth: { user, password } }),
  );
});

async function startTarget() {
  const server = createServer((_request, response) => response.writeHead(204).end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
