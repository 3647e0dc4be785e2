import { randomUUID } from "node:crypto";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import type { Minio } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";
import { bodyOf, describeCacheStore, killUploads, readText } from "@fleetfoot/cache-backend/testing";
import { createS3Store } from "./s3-store.ts";
import type { S3Store } from "./s3-store.ts";
import type { S3StoreOptions } from "./options.ts";

const abilities = ["conditional", "delete", "in-parts", "list", "parts", "presign", "ranges"] as const;
const mebibyte = 1024 * 1024;

/** Each takes a second, so many of them are for those who ask for them. */
const kills = Number(process.env["FLEETFOOT_KILLS"] ?? 10);

describeWithSystem("minio", (minio) => {
  describeCacheStore("the S3 store", {
    abilities,
    // MinIO keeps each segment as a directory, of a file system with 255 bytes for a name.
    unkeepable: (name) => name.split("/").some((segment) => Buffer.byteLength(segment) > 255),
    // It lists nothing below a name that is an object itself.
    unlistable: (name, all) => all.some((other) => other.startsWith(`${name}/`)),
    async open() {
      return { store: await openStore(minio(), { partBytes: 5 * mebibyte }), close: async () => {} };
    },
  });

  describe("the S3 store", () => {
    it(
      "shows a whole object after each SIGKILL at a random moment of an upload",
      async () => {
        const store = await openStore(minio(), { partBytes: 5 * mebibyte });
        const { endpoint, accessKeyId, secretAccessKey } = minio();
        const where = JSON.stringify({
          bucket: store.bucket,
          serverAddress: new URL(endpoint).host,
          insecure: true,
          accessKeyId,
          secretAccessKey,
          partBytes: 5 * mebibyte,
        });
        const source = JSON.stringify(new URL("s3-store.ts", import.meta.url).href);
        const module = `import { createS3Store } from ${source}; const store = createS3Store(${where});`;
        const { wholeObjects, broken } = await killUploads({ store, module, kills });
        expect(broken).toEqual([]);
        expect(wholeObjects).toBe(kills);
      },
      kills * 15_000,
    );

    it("says that a bucket is in another region, and in which one where the service tells", async () => {
      const { endpoint, accessKeyId, secretAccessKey } = minio();
      const { bucket } = await openStore(minio());
      const keys = { accessKeyId, secretAccessKey, insecure: true };
      const store = createS3Store({ bucket, serverAddress: new URL(endpoint).host, region: "eu-west-1", ...keys });
      await expect(store.put("name", bodyOf("x"))).rejects.toThrow(
        "the bucket is in the region us-east-1: set that one, or none",
      );
      await expect(store.head("name")).rejects.toThrow(
        "status 400 without a reason; the bucket may be in another region",
      );
    });

    it("gives a role's credentials for one object and one direction, which MinIO enforces", async () => {
      const root = await openStore(minio());
      await root.put("a", bodyOf("content of a"));
      await root.put("b", bodyOf("content of b"));
      const store = await openStore(minio(), { bucket: root.bucket, roleArn: "arn:minio:iam:::role/cache" });
      expect(await readText(await store.get("a"))).toBe("content of a");
      const credentials = await store.issueCredentials("a", "download");
      const stranger = await openStore(minio(), { bucket: root.bucket, ...credentials });
      expect(await readText(await stranger.get("a"))).toBe("content of a");
      const denied = { code: "access-denied", status: 403 };
      await expect(stranger.get("b")).rejects.toMatchObject(denied);
      await expect(stranger.put("a", bodyOf("x"))).rejects.toMatchObject(denied);
      const writer = await openStore(minio(), {
        bucket: root.bucket,
        ...(await store.issueCredentials("a", "upload")),
      });
      await writer.put("a", bodyOf("new"));
      await expect(writer.get("a")).rejects.toMatchObject(denied);
      await expect(writer.put("b", bodyOf("x"))).rejects.toMatchObject(denied);
      expect(await readText(await root.get("a"))).toBe("new");
    });
  });
});

async function openStore(
  minio: Minio,
  options: Partial<S3StoreOptions> = {},
): Promise<S3Store & { readonly bucket: string }> {
  const bucket = options.bucket ?? `bucket-${randomUUID()}`;
  if (options.bucket === undefined) await minio.createBucket(bucket);
  const store = createS3Store({
    bucket,
    serverAddress: new URL(minio.endpoint).host,
    insecure: true,
    accessKeyId: minio.accessKeyId,
    secretAccessKey: minio.secretAccessKey,
    ...options,
  });
  return { ...store, bucket };
}
