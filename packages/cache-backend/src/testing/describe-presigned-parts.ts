import { expect, it } from "vitest";
import { canPresignParts } from "../abilities.ts";
import type { CacheStore, PresignedPart, PresignsParts } from "../store.ts";
import { counted, readBytes } from "./bodies.ts";

export function describePresignedParts(open: () => CacheStore): void {
  const store = (): CacheStore & PresignsParts => {
    const opened = open();
    if (!canPresignParts(opened)) throw new Error("the store cannot presign parts");
    return opened;
  };
  const name = "dir/a b+c%d?é";
  const content = counted(11 * 1024 * 1024);
  const lifetimeMs = 60_000;
  const send = async ({ url, headers, start, end }: PresignedPart): Promise<string> => {
    const response = await fetch(url, { method: "PUT", headers, body: content.slice(start, end) });
    expect([response.status, response.ok ? "" : await response.text()]).toEqual([response.status, ""]);
    return response.headers.get("etag") ?? "";
  };

  it("lets somebody without credentials send an object in parts, in any order", async () => {
    const metadata = { cachekey: "key" };
    const upload = await store().presignParts({ name, bytes: content.byteLength, lifetimeMs, metadata });
    expect(upload.parts.length).toBeGreaterThan(1);
    expect([upload.parts[0]?.start, upload.parts.at(-1)?.end]).toEqual([0, content.byteLength]);
    const receipts = (await Promise.all(upload.parts.toReversed().map(send))).toReversed();
    expect(await store().head(name)).toBeUndefined();
    const facts = await upload.complete(receipts);
    const object = await store().get(name);
    expect(object?.facts).toMatchObject({ bytes: content.byteLength, metadata, version: facts.version });
    expect(Buffer.compare((await readBytes(object)) ?? new Uint8Array(), content)).toBe(0);
  });

  it("shows nothing of an upload in parts that is aborted, or lacks a part", async () => {
    const upload = await store().presignParts({ name, bytes: content.byteLength, lifetimeMs });
    const [first] = upload.parts;
    const receipt = first === undefined ? "" : await send(first);
    await expect(upload.complete([receipt, ...upload.parts.slice(1).map(() => '"none"')])).rejects.toThrow();
    await upload.abort();
    expect(await store().head(name)).toBeUndefined();
  });
}
