import { expect, it } from "vitest";
import { canPresign } from "../abilities.ts";
import type { CacheStore, PresignsObjects } from "../store.ts";
import { bodyOf, readText } from "./bodies.ts";

export function describePresigning(open: () => CacheStore, checksSignatures = true): void {
  const store = (): CacheStore & PresignsObjects => {
    const opened = open();
    if (!canPresign(opened)) throw new Error("the store cannot presign");
    return opened;
  };
  const name = "dir/a b+c%d?é";
  const lifetimeMs = 60_000;

  it("hands out a URL that reads one object", async () => {
    await store().put(name, bodyOf("content"));
    const { url, headers } = await store().presign({ method: "GET", name, lifetimeMs });
    const response = await fetch(url, { headers });
    expect([response.status, await response.text()]).toEqual([200, "content"]);
    const head = await store().presign({ method: "HEAD", name, lifetimeMs });
    expect((await fetch(head.url, { method: "HEAD", headers: head.headers })).ok).toBe(true);
  });

  it("hands out a URL that writes one object", async () => {
    const { url, headers } = await store().presign({ method: "PUT", name, lifetimeMs });
    const response = await fetch(url, { method: "PUT", headers, body: new Uint8Array([104, 105]) });
    expect(response.ok).toBe(true);
    expect(await readText(await store().get(name))).toBe("hi");
  });

  it("keeps the metadata that a URL was handed out for", async () => {
    const metadata = { cachekey: "schlüssel 鍵", os: "linux" };
    const { url, headers } = await store().presign({ method: "PUT", name, lifetimeMs, metadata });
    expect((await fetch(url, { method: "PUT", headers, body: new Uint8Array([104, 105]) })).ok).toBe(true);
    expect((await store().head(name))?.metadata).toEqual(metadata);
  });

  if (checksSignatures) {
    it("hands out a URL for one direction and one object only", async () => {
      await store().put(name, bodyOf("content"));
      await store().put("other", bodyOf("secret"));
      const { url, headers } = await store().presign({ method: "GET", name, lifetimeMs });
      const write = await fetch(url, { method: "PUT", headers: { ...headers, ...blockBlob }, body: new Uint8Array(1) });
      expect(write.ok).toBe(false);
      const other = url.replace(encodeURIComponent("dir") + "/", "").replace(/a%20b[^?]*/, "other");
      expect(other).not.toBe(url);
      expect((await fetch(other, { headers })).ok).toBe(false);
      expect(await readText(await store().get(name))).toBe("content");
    });
  }

  it("refuses a name that leads elsewhere", async () => {
    const request = { method: "GET", name: "../a", lifetimeMs } as const;
    await expect(store().presign(request)).rejects.toMatchObject({ code: "invalid-name" });
  });
}

/** Without it one of the services would refuse the request for another reason. */
const blockBlob = { "x-ms-blob-type": "BlockBlob" };
