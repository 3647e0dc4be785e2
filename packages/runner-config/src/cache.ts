import type { AzureCacheConfig, GcsCacheConfig, LocalCacheConfig, RunnerCache, S3CacheConfig } from "./config.ts";
import type { TableReader } from "./table-reader.ts";

/**
 * Reads `[runners.cache]` and the sections of the stores; problems go to the reader.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnerscache-section (cache document 5)
 */
export function readCache(table: TableReader | undefined): RunnerCache | undefined {
  if (table === undefined) return undefined;
  const flat = readFlat(table);
  return {
    type: (table.string("Type") || undefined)?.toLowerCase(),
    path: table.string("Path") ?? flat.path ?? "",
    shared: table.boolean("Shared") ?? false,
    maxUploadedArchiveBytes: Math.max(0, table.integer("MaxUploadedArchiveSize") ?? 0),
    foreignArchitecture: table.choice("ForeignArchitecture", ["warn", "miss"]) ?? "warn",
    s3: readS3(table.table("s3"), flat, table),
    gcs: readGcs(table.table("gcs")),
    azure: readAzure(table.table("azure")),
    local: readLocal(table.table("local")),
  };
}

/** Keys of S3 that once stood directly below `[runners.cache]`; what is undefined does not stand there. */
interface FlatKeys {
  readonly isUsed: boolean;
  readonly serverAddress: string | undefined;
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly bucketName: string | undefined;
  readonly bucketLocation: string | undefined;
  readonly insecure: boolean | undefined;
  readonly path: string | undefined;
}

function readFlat(table: TableReader): FlatKeys {
  const keys = {
    serverAddress: table.string("ServerAddress"),
    accessKey: table.string("AccessKey"),
    secretKey: table.string("SecretKey"),
    bucketName: table.string("BucketName"),
    bucketLocation: table.string("BucketLocation"),
    insecure: table.boolean("Insecure"),
    path: table.string("S3CachePath"),
  };
  const found = flatNames.filter((_, index) => Object.values(keys)[index] !== undefined);
  const first = found[0];
  if (first !== undefined) {
    const message = `${found.join(", ")} directly below [runners.cache] ${found.length === 1 ? "is" : "are"} deprecated; write them into [runners.cache.s3], and Path for S3CachePath`;
    table.problem(first, "warning", "deprecated-key", message);
  }
  return { ...keys, isUsed: found.length > 0 };
}

/** In the order of {@link FlatKeys}. */
const flatNames = [
  "ServerAddress",
  "AccessKey",
  "SecretKey",
  "BucketName",
  "BucketLocation",
  "Insecure",
  "S3CachePath",
] as const;

function readS3(table: TableReader | undefined, flat: FlatKeys, parent: TableReader): S3CacheConfig | undefined {
  if (table === undefined && !flat.isUsed) return undefined;
  const s3: S3CacheConfig = {
    serverAddress: table?.string("ServerAddress") ?? flat.serverAddress ?? "",
    accessKey: table?.string("AccessKey") ?? flat.accessKey ?? "",
    secretKey: table?.string("SecretKey") ?? flat.secretKey ?? "",
    sessionToken: table?.string("SessionToken") ?? "",
    bucketName: table?.string("BucketName") ?? flat.bucketName ?? "",
    bucketLocation: table?.string("BucketLocation") ?? flat.bucketLocation ?? "",
    insecure: table?.boolean("Insecure") ?? flat.insecure ?? false,
    authenticationType: readAuthentication(table),
    serverSideEncryption: readEncryption(table),
    serverSideEncryptionKeyId: table?.string("ServerSideEncryptionKeyID") ?? "",
    dualStack: table?.boolean("DualStack") ?? true,
    accelerate: table?.boolean("Accelerate") ?? false,
    pathStyle: table?.boolean("PathStyle"),
    roleArn: table?.string("RoleARN") ?? "",
    uploadRoleArn: table?.string("UploadRoleARN") ?? "",
    assumeRoleMaxConcurrency: table?.integer("AssumeRoleMaxConcurrency") ?? 0,
    disableAssumeRoleCredentialsCaching: table?.boolean("DisableAssumeRoleCredentialsCaching") ?? false,
  };
  const { accessKey, secretKey, serverAddress, authenticationType } = s3;
  if (accessKey !== "" && secretKey !== "" && serverAddress === "" && authenticationType === undefined) {
    const message = `the keys are not used, because there is no ServerAddress; write AuthenticationType = "access-key" to use them, or remove them`;
    (table ?? parent).problem("AccessKey", "warning", "unused-credentials", message);
  }
  return s3;
}

function readAuthentication(table: TableReader | undefined): S3CacheConfig["authenticationType"] {
  const written = table?.string("AuthenticationType") ?? "";
  const word = written.toLowerCase();
  if (word === "iam" || word === "access-key") return word;
  if (word === "") return undefined;
  const message = `${JSON.stringify(written)} is neither iam nor access-key, so it counts as iam; correct it`;
  table?.problem("AuthenticationType", "warning", "invalid-choice", message);
  return "iam";
}

function readEncryption(table: TableReader | undefined): S3CacheConfig["serverSideEncryption"] {
  const written = table?.string("ServerSideEncryption") ?? "";
  const kind = encryptionKinds[written.toLowerCase()];
  if (kind === undefined && written !== "") {
    const message = `${JSON.stringify(written)} is none of S3, KMS and DSSE-KMS, so nothing is encrypted by request; correct it`;
    table?.problem("ServerSideEncryption", "warning", "invalid-choice", message);
  }
  return kind;
}

const encryptionKinds: Readonly<Record<string, S3CacheConfig["serverSideEncryption"]>> = {
  s3: "AES256",
  aes256: "AES256",
  kms: "aws:kms",
  "aws:kms": "aws:kms",
  "dsse-kms": "aws:kms:dsse",
  "aws:kms:dsse": "aws:kms:dsse",
};

function readLocal(table: TableReader | undefined): LocalCacheConfig | undefined {
  if (table === undefined) return undefined;
  return {
    directory: table.string("Directory") ?? "",
    maxBytes: Math.max(0, table.integer("MaxBytes") ?? 0),
    maxUnusedMs: Math.max(0, table.duration("MaxUnused") ?? 0),
    minFreeBytes: Math.max(0, table.integer("MinFreeBytes") ?? 0),
  };
}

function readGcs(table: TableReader | undefined): GcsCacheConfig | undefined {
  if (table === undefined) return undefined;
  return {
    credentialsFile: table.string("CredentialsFile") ?? "",
    accessId: table.string("AccessID") ?? "",
    privateKey: table.string("PrivateKey") ?? "",
    bucketName: table.string("BucketName") ?? "",
    universeDomain: table.string("UniverseDomain") ?? "",
  };
}

function readAzure(table: TableReader | undefined): AzureCacheConfig | undefined {
  if (table === undefined) return undefined;
  return {
    accountName: table.string("AccountName") ?? "",
    accountKey: table.string("AccountKey") ?? "",
    containerName: table.string("ContainerName") ?? "",
    storageDomain: table.string("StorageDomain") ?? "",
  };
}
