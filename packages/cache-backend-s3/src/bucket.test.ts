import {
  GetBucketLifecycleConfigurationCommand,
  PutBucketLifecycleConfigurationCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createBucket, expireCaches } from "./bucket.ts";

describeWithSystem("minio", (minio) => {
  let client: S3Client;
  beforeAll(() => {
    const { endpoint, accessKeyId, secretAccessKey } = minio();
    const credentials = { accessKeyId, secretAccessKey };
    client = new S3Client({ endpoint, forcePathStyle: true, region: "us-east-1", credentials });
  });
  afterAll(() => client.destroy());

  const options = (bucket: string) => {
    const { endpoint, accessKeyId, secretAccessKey } = minio();
    return { bucket, serverAddress: new URL(endpoint).host, insecure: true, accessKeyId, secretAccessKey };
  };
  const rulesOf = async (bucket: string) =>
    (await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules;

  it("of MinIO is made once and left alone after that", async () => {
    await createBucket(options("made-once"));
    await createBucket(options("made-once"));
  });

  it("of MinIO gets a rule that lets caches go, beside the rules of others", async () => {
    await createBucket(options("expiring"));
    await expireCaches(options("expiring"), { prefix: "", days: 7 });
    expect(await rulesOf("expiring")).toMatchObject([{ ID: "fleetfoot-cache-expiry", Expiration: { Days: 7 } }]);
    const own = { ID: "own", Status: "Enabled", Filter: { Prefix: "logs/" }, Expiration: { Days: 3 } } as const;
    await client.send(
      new PutBucketLifecycleConfigurationCommand({ Bucket: "expiring", LifecycleConfiguration: { Rules: [own] } }),
    );
    await expireCaches(options("expiring"), { prefix: "other/", days: 7 });
    for (const days of [30, 14]) await expireCaches(options("expiring"), { prefix: "runner/", days });
    const rules = (await rulesOf("expiring")) ?? [];
    expect(new Set(rules.map(({ ID, Filter, Expiration }) => `${ID} ${Filter?.Prefix} ${Expiration?.Days}`))).toEqual(
      new Set([
        "fleetfoot-cache-expiry-ff1f7c50 runner/ 14",
        "fleetfoot-cache-expiry-184144ec other/ 7",
        "own logs/ 3",
      ]),
    );
  });

  it("that does not exist is an error with the service's own word", async () => {
    await expect(expireCaches(options("absent"), { prefix: "", days: 7 })).rejects.toMatchObject({
      code: "rejected",
      serviceCode: "NoSuchBucket",
    });
  });

  it("does nothing when its signal is aborted", async () => {
    const reason = new Error("no longer wanted");
    await expect(createBucket(options("never"), AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
