import { describe, expect, it } from "vitest";
import type { RunnerCache } from "./config.ts";
import { lintRunnerConfig, parseRunnerConfig } from "./parse.ts";

const runner = '[[runners]]\nname = "r"\nurl = "https://example.com"\ntoken = "t"\nexecutor = "shell"\n';
const keys = 'AccessKey = "AKIDSECRET"\nSecretKey = "very-secret"\n';

function read(text: string): { readonly cache: RunnerCache | undefined; readonly problems: readonly string[] } {
  const { config, problems } = parseRunnerConfig(`${runner}${text}`);
  return { cache: config?.runners[0]?.cache, problems: problems.map(({ code, message }) => `${code}: ${message}`) };
}

describe("[runners.cache] of a config.toml", () => {
  it("CA G13: moves the old flat keys of S3 where the new ones are, key by key, and says so once without values", () => {
    const { cache, problems } = read(
      `[runners.cache]\nType = "s3"\nServerAddress = "a"\n${keys}BucketName = "b"\nInsecure = true\nS3CachePath = "p"\n[runners.cache.s3]\nServerAddress = "b"\nInsecure = false\n`,
    );
    expect(cache).toMatchObject({
      path: "p",
      s3: { serverAddress: "b", insecure: false, accessKey: "AKIDSECRET", secretKey: "very-secret", bucketName: "b" },
    });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(
      /^deprecated-key: ServerAddress, AccessKey, SecretKey, BucketName, Insecure, S3CachePath /,
    );
    expect(problems[0]).not.toMatch(/AKIDSECRET|very-secret/);
  });

  it("lets a Path win over the flat key for it, and makes the section of S3 where there is none", () => {
    const { cache } = read('[runners.cache]\nPath = "new"\nS3CachePath = "old"\nBucketName = "b"\n');
    expect(cache).toMatchObject({ path: "new", s3: { bucketName: "b", dualStack: true, insecure: false } });
    expect(read("[runners.cache]\n").cache?.s3).toBeUndefined();
  });

  it.each([
    { how: "without an AuthenticationType", extra: "", warnings: 1 },
    { how: "with access-key", extra: 'AuthenticationType = "Access-Key"\n', warnings: 0 },
    { how: "with iam", extra: 'AuthenticationType = "iam"\n', warnings: 0 },
    { how: "with a ServerAddress", extra: 'ServerAddress = "minio:9000"\n', warnings: 0 },
  ])("CA G1, CA G12: warns $how that keys are not used: $warnings", ({ extra, warnings }) => {
    const { problems } = read(`[runners.cache]\nType = "s3"\n[runners.cache.s3]\n${keys}${extra}`);
    expect(problems).toHaveLength(warnings);
    for (const problem of problems) {
      expect(problem).toContain('AuthenticationType = "access-key"');
      expect(problem).not.toMatch(/AKIDSECRET|very-secret/);
    }
  });

  it("CA G12: looks at the keys after the flat ones were moved", () => {
    expect(read(`[runners.cache]\n${keys}`).problems.map((problem) => problem.split(":")[0])).toEqual([
      "deprecated-key",
      "unused-credentials",
    ]);
  });

  it.each([
    ["S3", "AES256"],
    ["aes256", "AES256"],
    ["kms", "aws:kms"],
    ["AWS:KMS", "aws:kms"],
    ["dsse-kms", "aws:kms:dsse"],
    ["aws:kms:dsse", "aws:kms:dsse"],
  ])("reads the encryption %s as %s", (written, kind) => {
    const { cache, problems } = read(`[runners.cache.s3]\nServerSideEncryption = "${written}"\n`);
    expect([cache?.s3?.serverSideEncryption, problems]).toEqual([kind, []]);
  });

  it("CA G6: takes an encryption that does not exist for none, with a warning", () => {
    const { cache, problems } = read('[runners.cache.s3]\nServerSideEncryption = "foo"\n');
    expect(cache?.s3?.serverSideEncryption).toBeUndefined();
    expect(problems).toEqual([expect.stringMatching(/^invalid-choice: "foo" is none of/)]);
  });

  it("takes an authentication that does not exist for iam, with a warning", () => {
    const { cache, problems } = read('[runners.cache.s3]\nAuthenticationType = "magic"\n');
    expect(cache?.s3?.authenticationType).toBe("iam");
    expect(problems).toEqual([expect.stringMatching(/^invalid-choice: "magic" is neither/)]);
  });

  it("reads every key of every store, so that none of them is said to have no effect", () => {
    const text = `[runners.cache]
Type = "s3"
ForeignArchitecture = "miss"
[runners.cache.s3]
ServerAddress = "h"
${keys}SessionToken = "s"
BucketName = "b"
BucketLocation = "l"
Insecure = true
AuthenticationType = "access-key"
ServerSideEncryption = "KMS"
ServerSideEncryptionKeyID = "k"
DualStack = false
Accelerate = true
PathStyle = false
RoleARN = "r"
UploadRoleARN = "u"
AssumeRoleMaxConcurrency = -1
DisableAssumeRoleCredentialsCaching = true
[runners.cache.gcs]
CredentialsFile = "f"
AccessID = "a"
PrivateKey = "p"
BucketName = "b"
UniverseDomain = "d"
[runners.cache.azure]
AccountName = "a"
AccountKey = "k"
ContainerName = "c"
StorageDomain = "d"
[runners.cache.local]
Directory = "/srv/caches"
MaxBytes = 1000
MaxUnused = "48h"
MinFreeBytes = 500
`;
    expect(lintRunnerConfig(`${runner}${text}`)).toEqual([]);
    expect(read(text).cache).toMatchObject({
      foreignArchitecture: "miss",
      local: { directory: "/srv/caches", maxBytes: 1000, maxUnusedMs: 172_800_000, minFreeBytes: 500 },
      s3: {
        sessionToken: "s",
        bucketLocation: "l",
        serverSideEncryption: "aws:kms",
        serverSideEncryptionKeyId: "k",
        dualStack: false,
        accelerate: true,
        pathStyle: false,
        roleArn: "r",
        uploadRoleArn: "u",
        assumeRoleMaxConcurrency: -1,
        disableAssumeRoleCredentialsCaching: true,
      },
      gcs: { credentialsFile: "f", accessId: "a", privateKey: "p", bucketName: "b", universeDomain: "d" },
      azure: { accountName: "a", accountKey: "k", containerName: "c", storageDomain: "d" },
    });
  });
});
