import { expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";

describeWithSystem("fake-gcs-server", (gcs) => {
  it("keeps an object and gives it back", async () => {
    const { endpoint } = gcs();
    await gcs().createBucket("bucket");
    const upload = `${endpoint}/upload/storage/v1/b/bucket/o?uploadType=media&name=folder%2Fobject`;
    const put = await fetch(upload, { method: "POST", body: "content" });
    const get = await fetch(`${endpoint}/storage/v1/b/bucket/o/folder%2Fobject?alt=media`);
    expect([put.status, get.status, await get.text()]).toEqual([200, 200, "content"]);
  });

  it("gives upload links that lead to itself", async () => {
    const { endpoint } = gcs();
    await gcs().createBucket("resumable");
    const start = await fetch(`${endpoint}/upload/storage/v1/b/resumable/o?uploadType=resumable&name=object`, {
      method: "POST",
    });
    const location = start.headers.get("location") ?? "";
    expect(location).toContain(endpoint);
    const put = await fetch(location, { method: "PUT", body: "content" });
    expect(put.status).toBe(200);
  });
});
