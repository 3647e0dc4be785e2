import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createMirror } from "./mirror.ts";
import type { RegistryMirror } from "./registry-mirror.ts";
import type { MirrorResponse } from "./serving/messages.ts";

const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [],
});

describe("requests that are passed on", () => {
  let directory: string;
  let server: Server;
  let mirror: RegistryMirror;
  let onWrite: (response: ServerResponse) => void;
  let writes: number;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
    writes = 0;
    const listener: RequestListener = (request, response) => {
      if (request.method === "GET" || request.method === "HEAD") {
        response.setHeader("content-type", "application/vnd.oci.image.index.v1+json");
        response.end(manifest);
        return;
      }
      writes += 1;
      onWrite(response);
    };
    server = createServer(listener).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const hub = { url, hosts: ["registry.example"], access: "pass-through", maxRequests: 1 } as const;
    mirror = await createMirror({ directory, reserveBytes: 0, upstreams: { hub } });
  });

  afterEach(async () => {
    await mirror.close();
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true });
  });

  const push = (signal: AbortSignal): Promise<MirrorResponse> => {
    const body = new PassThrough();
    body.write("the first bytes of a layer");
    const request = { method: "PATCH", target: "/v2/org/app/blobs/uploads/1", headers: {}, authorization: undefined };
    return mirror.relay({ ...request, registry: "registry.example", body, signal });
  };
  const pull = async (tag: string): Promise<number> =>
    (await mirror.handle(new Request(`http://mirror/v2/org/app/manifests/${tag}`))).status;

  it("take no place of pulls while they write, and are more than pulls may be", async () => {
    const arrived = Promise.withResolvers<void>();
    onWrite = () => {
      if (writes === 3) arrived.resolve();
    };
    const leaving = new AbortController();
    const pushes = [1, 2, 3].map(() => expect(push(leaving.signal)).rejects.toThrow("left"));
    await arrived.promise;
    expect(await pull("1")).toBe(200);
    leaving.abort(new Error("left"));
    await Promise.all(pushes);
  });

  it("do not make others believe that the upstream is away when a push breaks off", async () => {
    onWrite = (response) => void response.destroy();
    const { status } = await push(new AbortController().signal);
    expect(status).toBe(502);
    expect(mirror.status().upstreams).toMatchObject([{ state: "up" }]);
    expect(await pull("1")).toBe(200);
  });

  it.each([
    ["of the upstream itself", (own: URL) => own.href, (own: URL) => `${own.pathname}${own.search}`],
    [
      "of the upstream, which does not know that a front speaks TLS for it",
      (own: URL) => own.href.replace("http:", "https:"),
      (own: URL) => `${own.pathname}${own.search}`,
    ],
    ["of another host", () => "http://storage.example/upload?x=1", undefined],
  ])("lead to a place %s as the client sees it", async (_place, locationOf, expected) => {
    const own = new URL(
      `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/org/app/blobs/uploads/2?state=x`,
    );
    const location = locationOf(own);
    onWrite = (response) => void response.writeHead(202, { location }).end();
    const { headers, status } = await push(new AbortController().signal);
    expect([status, headers["location"]]).toEqual([202, expected?.(own) ?? location]);
  });
});
