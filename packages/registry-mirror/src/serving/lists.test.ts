import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { serveMirror } from "../testing/serve.ts";
import { pageOf, sorted } from "./lists.ts";

describe("tags", () => {
  it("are listed as they all are, or not at all: an upstream with too many of them makes an error that says so", async () => {
    const blob = Buffer.from("{}");
    const manifest = JSON.stringify({ schemaVersion: 2, config: {}, layers: [] });
    let isPaged = true;
    const hub = createServer(({ url = "/" }, response) => {
      const { pathname, searchParams } = new URL(url, "http://hub");
      if (!pathname.endsWith("/tags/list")) {
        response.setHeader("content-type", "application/vnd.oci.image.manifest.v1+json");
        response.end(pathname.includes("/manifests/") ? manifest : blob);
        return;
      }
      const last = searchParams.get("last") ?? "t0000";
      if (isPaged) response.setHeader("link", `</v2/library/app/tags/list?last=${last}x>; rel="next"`);
      const tags = isPaged ? [last] : Array.from({ length: 900_000 }, (_, index) => `t${index}`);
      response.end(JSON.stringify({ name: "library/app", tags }));
    });
    await once(hub.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    for (const [paged, why] of [
      [true, "more than 200 pages, 200 entries so far"],
      [false, "a page above 4 MiB"],
    ] as const) {
      await using mirror = await serveMirror({ upstreams: { hub: { url } } });
      // One that is cached is no list of them all.
      expect((await mirror.send("/v2/library/app/manifests/one")).status).toBe(200);
      isPaged = paged;
      const { body, status } = await mirror.send("/v2/library/app/tags/list");
      expect([status, body.toString()]).toEqual([
        502,
        expect.stringContaining(`its list is longer than this mirror reads (${why}); ask the registry itself`),
      ]);
    }
    hub.close();
  });

  it("come by bytes, and page by page from wherever a client wants", () => {
    const tags = sorted(["b", "B", "_", "a-1", "a.1", "a", "b"]);
    expect(tags).toEqual(["B", "_", "a", "a-1", "a.1", "b"]);
    const page = (query: string): unknown => pageOf(tags, new URLSearchParams(query), 100);
    expect(page("n=2&last=_")).toEqual({ entries: ["a", "a-1"], next: "n=2&last=a-1" });
    expect(page("n=2&last=a-0")).toEqual({ entries: ["a-1", "a.1"], next: "n=2&last=a.1" });
    expect(page("last=b")).toEqual({ entries: [], next: undefined });
    expect(page("last=%C3%A9")).toEqual({ entries: [], next: undefined });
  });
});
