import { expect, it } from "vitest";
import { describeWithSystem } from "./describe-with-system.ts";

describeWithSystem("azurite", (azurite) => {
  it("keeps a blob and gives it back", async () => {
    await azurite().createContainer("first");
    const headers = { "x-ms-blob-type": "BlockBlob" };
    const put = await azurite().request({ method: "PUT", path: "/first/folder/blob", headers, body: "content" });
    const get = await azurite().request({ method: "GET", path: "/first/folder/blob" });
    expect([put.status, get.status, await get.text()]).toEqual([201, 200, "content"]);
  });

  it("refuses a caller without credentials", async () => {
    const list = await fetch(`${azurite().blobEndpoint}?comp=list`);
    expect(list.status).toBe(403);
  });

  it("names its own account in the connection string", () => {
    const { accountName, accountKey, blobEndpoint, connectionString } = azurite();
    expect(connectionString).toBe(
      `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${blobEndpoint};`,
    );
  });
});
