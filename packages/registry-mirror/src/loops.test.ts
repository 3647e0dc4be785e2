import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createManualClock } from "./testing/manual-clock.ts";
import { serveConnect } from "./testing/serve-connect.ts";
import { serveMirror } from "./testing/serve.ts";

const digest = `sha256:${createHash("sha256").update("a layer").digest("hex")}`;
const questions = [
  "/v2/library/app/manifests/one",
  `/v2/library/app/manifests/${digest}`,
  `/v2/library/app/blobs/${digest}`,
  "/v2/library/app/tags/list",
  `/v2/library/app/referrers/${digest}`,
];

describe("an upstream that leads back to the mirror", () => {
  let hub: Server;
  let hubUrl: string;
  /** Where the hub sends everybody, in front of the path. */
  let to: string;
  const asked: (string | undefined)[] = [];

  beforeEach(async () => {
    asked.length = 0;
    to = "";
    hub = createServer((request, response) => {
      asked.push(request.headers["fleetfoot-mirror-via"]?.toString());
      if (to === "") response.end("a layer");
      else response.writeHead(307, { location: `${to}${request.url}` }).end();
    }).listen(0, "127.0.0.1");
    await once(hub, "listening");
    hubUrl = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  });

  afterEach(() => {
    hub.closeAllConnections();
    hub.close();
  });

  it("by redirects makes an error at once, and one line in the log, not a wait for itself", async () => {
    // The clock stands, so that whatever waited would wait for ever.
    const clock = createManualClock();
    await using mirror = await serveMirror({ upstreams: { hub: { url: hubUrl, hosts: ["docker.io"] } }, clock });
    to = mirror.url;
    for (const question of questions) {
      const path = question.replace("/v2/", "/v2/docker.io/");
      const { body, status } = await mirror.send(path);
      expect([question, status, body.toString()]).toEqual([
        question,
        502,
        expect.stringContaining("is that of this mirror itself"),
      ]);
    }
    // Who can go elsewhere, does so at once.
    expect((await mirror.send(`/v2/library/app/blobs/${digest}?ns=docker.io`)).status).toBe(404);
    expect(mirror.log.filter((line) => line.includes("leads back to this mirror"))).toEqual([
      `error upstream hub leads back to this mirror ${JSON.stringify({ at: mirror.url })}`,
    ]);
    // It is over when the upstream is what it should be.
    to = "";
    expect((await mirror.send(`/v2/docker.io/library/app/blobs/${digest}`)).body.toString()).toBe("a layer");
  });

  it("by its address makes an error at once", async () => {
    // Passed on to whatever address the mirror gets.
    const front = createServer((request, response) => {
      void fetch(`${to}${request.url}`, { headers: request.headers as Record<string, string> }).then(async (answer) => {
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        response.end(await answer.text());
      });
    }).listen(0, "127.0.0.1");
    await once(front, "listening");
    const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
    await using mirror = await serveMirror({ upstreams: { hub: { url } }, clock: createManualClock() });
    to = mirror.url;
    expect((await mirror.send("/v2/library/app/manifests/one")).body.toString()).toContain("this mirror itself");
    front.closeAllConnections();
    front.close();
  });

  it("is no other mirror, however many there are in a row, each of which has a name of its own", async () => {
    await using near = await serveMirror({ upstreams: { hub: { url: hubUrl } } });
    await using far = await serveMirror({ upstreams: { near: { url: near.url } } });
    expect((await far.send(`/v2/library/app/blobs/${digest}`)).body.toString()).toBe("a layer");
    await using other = await serveMirror({ upstreams: { hub: { url: hubUrl } } });
    expect((await other.send(`/v2/library/app/blobs/${digest}`)).body.toString()).toBe("a layer");
    expect(asked.every((name) => /^[0-9a-f-]{36}$/.test(name ?? ""))).toBe(true);
    expect(new Set(asked).size).toBe(2);
  });

  it("is known by what comes in through CONNECT and is passed on, too", async () => {
    await using proxy = await serveConnect({
      mirror: { upstreams: { hub: { url: hubUrl, hosts: ["quay.io"], access: "pass-through" } } },
      policy: { hosts: ["quay.io"], pushHosts: ["quay.io"] },
    });
    await proxy.send("quay.io", "/token");
    const [name = ""] = asked;
    for (const method of ["GET", "PUT"]) {
      const headers = { "fleetfoot-mirror-via": name };
      expect((await proxy.send("quay.io", "/v2/org/app/manifests/one", { method, headers })).status).toBe(508);
      const other = { "fleetfoot-mirror-via": "another" };
      expect((await proxy.send("quay.io", "/token", { method, headers: other })).status).not.toBe(508);
    }
  });
});
