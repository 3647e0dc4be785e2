import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describe, expect, it } from "vitest";
import { run } from "./process.ts";
import { publishedPackages, repositoryRoot } from "./workspace.ts";

const examples = publishedPackages().flatMap(({ directory }) => {
  const folder = join(repositoryRoot, directory, "examples");
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(".ts"))
        .map((name) => `${directory}/examples/${name}`)
    : [];
});

/** Examples that talk to a service get a real one, and learn by their environment where it is. */
const served = ["packages/cache-backend-s3/", "packages/cache-backend-gcs/", "packages/cache-backend-azure/"];

function examplesOf(directory: string): readonly string[] {
  return examples.filter((example) => example.startsWith(`${directory}/`));
}

async function expectOutput(example: string, environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const { code, output } = await run(
    process.execPath,
    ["--conditions=@fleetfoot/source", join(repositoryRoot, example)],
    { environment },
  );
  expect(output).not.toBe("");
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
}

describe("examples", () => {
  it.each(examples.filter((example) => !served.some((directory) => example.startsWith(directory))))(
    "%s runs and prints something",
    (example) => expectOutput(example),
  );
});

describeWithSystem("minio", (minio) => {
  it.each(examplesOf("packages/cache-backend-s3"))("%s runs and prints something", async (example) => {
    const { endpoint, accessKeyId, secretAccessKey, createBucket } = minio();
    await createBucket("caches");
    await expectOutput(example, {
      CACHE_S3_SERVER_ADDRESS: new URL(endpoint).host,
      CACHE_S3_ACCESS_KEY: accessKeyId,
      CACHE_S3_SECRET_KEY: secretAccessKey,
    });
  });
});

describeWithSystem("fake-gcs-server", (gcs) => {
  it.each(examplesOf("packages/cache-backend-gcs"))("%s runs and prints something", async (example) => {
    await gcs().createBucket("caches");
    await expectOutput(example, { CACHE_GCS_ENDPOINT: gcs().endpoint });
  });
});

describeWithSystem("azurite", (azurite) => {
  it.each(examplesOf("packages/cache-backend-azure"))("%s runs and prints something", async (example) => {
    const { accountName, accountKey, blobEndpoint, createContainer } = azurite();
    await createContainer("caches");
    await expectOutput(example, {
      CACHE_AZURE_ACCOUNT_NAME: accountName,
      CACHE_AZURE_ACCOUNT_KEY: accountKey,
      CACHE_AZURE_ENDPOINT: blobEndpoint,
    });
  });
});
