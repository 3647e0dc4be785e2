import { readProxyEnvironment } from "@fleetfoot/proxy-env";
import { parseRunnerConfig, type RunnerCache } from "@fleetfoot/runner-config";
import { describe, expect, it } from "vitest";
import { azureOptions, gcsOptions, openStoreTools, s3Options, type StoreTools } from "./store-options.ts";

function cacheOf(text: string): RunnerCache {
  const { config } = parseRunnerConfig(
    `[[runners]]\nname = "box"\nurl = "https://gitlab.example.com"\ntoken = "glrt-box"\nexecutor = "shell"\n[runners.cache]\nMaxUploadedArchiveSize = 10\n${text}`,
  );
  const cache = config?.runners[0]?.cache;
  if (cache === undefined) throw new Error("the configuration cannot be read");
  return cache;
}

function tools(environment: Readonly<Record<string, string>> = {}): StoreTools {
  return { ...openStoreTools({ environment, proxies: readProxyEnvironment({}) }), warn: () => {} };
}

describe("the options of a store", () => {
  it("are every key of [runners.cache.s3]", async () => {
    const section = `[runners.cache.s3]
ServerAddress = "h:9000"
AccessKey = "AKID"
SecretKey = "very-secret"
SessionToken = "session"
BucketName = "bucket"
BucketLocation = "eu-west-1"
Insecure = true
AuthenticationType = "access-key"
ServerSideEncryption = "DSSE-KMS"
ServerSideEncryptionKeyID = "alias/key"
DualStack = false
Accelerate = true
PathStyle = false
RoleARN = "arn:aws:iam::1:role/both"
UploadRoleARN = "arn:aws:iam::1:role/up"
AssumeRoleMaxConcurrency = -1
DisableAssumeRoleCredentialsCaching = true
`;
    const given = tools();
    expect(await s3Options(cacheOf(section), given)).toEqual({
      serverAddress: "h:9000",
      accessKeyId: "AKID",
      secretAccessKey: "very-secret",
      sessionToken: "session",
      bucket: "bucket",
      region: "eu-west-1",
      insecure: true,
      authentication: "access-key",
      serverSideEncryption: "aws:kms:dsse",
      serverSideEncryptionKeyId: "alias/key",
      dualStack: false,
      accelerate: true,
      pathStyle: false,
      roleArn: "arn:aws:iam::1:role/both",
      uploadRoleArn: "arn:aws:iam::1:role/up",
      assumeRoleMaxConcurrency: -1,
      disableAssumeRoleCredentialsCaching: true,
      checksums: undefined,
      responseChecksums: undefined,
      dispatcher: await given.dispatch(),
      onWarning: given.warn,
    });
  });

  it("are every key of [runners.cache.gcs], and how long an archive may be", async () => {
    const section = `[runners.cache.gcs]
CredentialsFile = "/etc/key.json"
AccessID = "who@example.com"
PrivateKey = "pem"
BucketName = "bucket"
UniverseDomain = "example.cloud"
`;
    const given = tools();
    expect(await gcsOptions(cacheOf(section), given)).toEqual({
      credentialsFile: "/etc/key.json",
      accessId: "who@example.com",
      privateKey: "pem",
      bucket: "bucket",
      universeDomain: "example.cloud",
      maxUploadedBytes: 10,
      dispatcher: await given.dispatch(),
    });
  });

  it("are every key of [runners.cache.azure]", async () => {
    const section = `[runners.cache.azure]
AccountName = "account"
AccountKey = "a2V5"
ContainerName = "container"
StorageDomain = "blob.example.cloud"
`;
    const given = tools();
    expect(await azureOptions(cacheOf(section), given)).toEqual({
      accountName: "account",
      accountKey: "a2V5",
      containerName: "container",
      storageDomain: "blob.example.cloud",
      dispatcher: await given.dispatch(),
    });
  });

  it.each([
    [{}, undefined, undefined],
    [{ AWS_REQUEST_CHECKSUM_CALCULATION: "WHEN_SUPPORTED" }, "when-supported", undefined],
    [{ AWS_RESPONSE_CHECKSUM_VALIDATION: "when_required" }, undefined, "when-required"],
  ])("take checksums of requests and of answers from an environment of %j", async (environment, sent, checked) => {
    const options = await s3Options(cacheOf('[runners.cache.s3]\nBucketName = "b"\n'), tools(environment));
    expect([options.checksums, options.responseChecksums]).toEqual([sent, checked]);
  });
});
