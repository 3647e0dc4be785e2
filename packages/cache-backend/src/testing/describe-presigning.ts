import { expect, it } from "vitest";
import { canPresign } from "../abilities.ts";
import type { CacheStore, PresignsObjects } from "../store.ts";
import { bodyOf, readText } from "./bodies.ts";

export function describePresigning(open: () => CacheStore): void {
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

  it("refuses a name that leads elsewhere", async () => {
    const request = { method: "GET", name: "../a", lifetimeMs } as const;
    await expect(store().presign(request)).rejects.toMatchObject({ code: "invalid-name" });
  });
}
