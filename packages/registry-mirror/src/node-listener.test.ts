import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serveConnect } from "./testing/serve-connect.ts";
import { serveMirror } from "./testing/serve.ts";

describe("a request that says two things", () => {
  const asked: string[] = [];
  const hub = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end();
  });

  beforeEach(async () => {
    asked.length = 0;
    await once(hub.listen(0, "127.0.0.1"), "listening");
  });
  afterEach(() => hub.close());

  const upstream = (): string => `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;

  /** Sends lines as they are, and reads until the end of the connection. */
  async function raw(port: number, lines: readonly string[]): Promise<string> {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.write(`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`);
    return text(socket);
  }

  it("is refused with 400 when it names its host twice, whichever it means and whatever it wants", async () => {
    await using mirror = await serveMirror({ upstreams: { hub: { url: upstream() } } });
    const port = Number(new URL(mirror.url).port);
    for (const line of ["GET /v2/", "GET /v2/library/app/manifests/one", "PUT /v2/library/app/manifests/one"]) {
      const answer = await raw(port, [`${line} HTTP/1.1`, "Host: a", "Host: a"]);
      expect(answer, line).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer, line).toContain("names its host more than once");
    }
    expect(await raw(port, ["GET /v2/ HTTP/1.1", "Host: a"])).toMatch(/^HTTP\/1\.1 200 /);
    expect(asked).toEqual([]);
  });

  it("is refused as a proxy's request, too", async () => {
    await using proxy = await serveConnect({
      mirror: { upstreams: { hub: { url: upstream(), hosts: ["quay.io"] } } },
      policy: { hosts: ["quay.io"] },
    });
    const answer = await raw(proxy.port, ["CONNECT quay.io:443 HTTP/1.1", "Host: quay.io:443", "Host: other"]);
    expect(answer).toMatch(/^HTTP\/1\.1 400 fleetfoot-mirror: the request names its host more than once/);
  });

  it("is refused with 400 when it names its registry twice, and no upstream is asked", async () => {
    await using mirror = await serveMirror({ upstreams: { hub: { url: upstream(), hosts: ["quay.io"] } } });
    for (const query of ["ns=quay.io&ns=ghcr.io", "ns=quay.io&ns=quay.io", "ns=&ns=quay.io"]) {
      const { body, status } = await mirror.send(`/v2/library/app/manifests/one?${query}`);
      expect([status, body.toString()], query).toEqual([400, expect.stringContaining("more than once (ns)")]);
    }
    expect(asked).toEqual([]);
  });
});
