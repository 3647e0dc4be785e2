import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";
import { startMinio } from "./minio.ts";

describeWithSystem("minio", (minio) => {
  it("keeps an object and gives it back", async () => {
    await minio().createBucket("first");
    const put = await minio().request({ method: "PUT", path: "/first/folder/object", body: "content" });
    const get = await minio().request({ method: "GET", path: "/first/folder/object" });
    expect([put.status, get.status, await get.text()]).toEqual([200, 200, "content"]);
  });

  it("lists with a signed query", async () => {
    await minio().createBucket("listed");
    await minio().request({ method: "PUT", path: "/listed/a%20b", body: "" });
    const query = { "list-type": "2", prefix: "a " };
    const list = await minio().request({ method: "GET", path: "/listed", query });
    expect(await list.text()).toContain("<Key>a b</Key>");
  });

  it("refuses a caller without credentials", async () => {
    const response = await fetch(`${minio().endpoint}/first/folder/object`);
    expect(response.status).toBe(403);
  });

  it("stops without leaving its folder, and a second server beside it is not touched", async () => {
    const other = await startMinio();
    await other.stop();
    expect(existsSync(other.folder)).toBe(false);
    await expect(fetch(other.endpoint)).rejects.toThrow();
    expect((await fetch(`${minio().endpoint}/minio/health/live`)).status).toBe(200);
  });
});
