import type { AzureStoreOptions } from "@fleetfoot/cache-backend-azure";
import type { GcsStoreOptions } from "@fleetfoot/cache-backend-gcs";
import type { S3StoreOptions } from "@fleetfoot/cache-backend-s3";
import type { MirrorOptions } from "@fleetfoot/registry-mirror";
import type { Section } from "./section.ts";

/** A shared store: which kind, and what it is to be made with. */
export interface StoreSettings {
  readonly kind: "azure" | "gcs" | "s3";
  /** As the store's package names them. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Reads the table of the shared store, and what is said of redirects to it. */
export function readStore(
  top: Section,
  problems: string[],
): readonly [StoreSettings | undefined, MirrorOptions["redirect"]] {
  const [found, ...more] = (["s3", "gcs", "azure"] as const).flatMap((kind) => {
    const section = top.section(kind);
    return section === undefined ? [] : [{ kind, section }];
  });
  const needed = found?.kind === "azure" ? "containerName" : "bucket";
  if (found !== undefined && found.section.values[needed] === undefined)
    problems.push(`${found.kind}.${needed} is missing`);
  else found?.section.text(needed);
  for (const key of Object.keys(found?.section.values ?? {}))
    if (found !== undefined && !storeKeys[found.kind].has(key)) problems.push(`${found.kind}.${key} is no setting`);
  if (more.length > 0) problems.push("only one of s3, gcs and azure can be the shared store");
  const section = top.section("redirect");
  const minBytes = section?.size("minSize");
  const lifetimeMs = section?.duration("lifetime");
  section?.end();
  const redirect =
    section === undefined
      ? undefined
      : { ...(minBytes === undefined ? {} : { minBytes }), ...(lifetimeMs === undefined ? {} : { lifetimeMs }) };
  return [found === undefined ? undefined : { kind: found.kind, options: found.section.values }, redirect];
}

type Unsettable = "credential" | "dispatcher" | "now" | "onWarning" | "sleep";

/** What a file can say of a store. A package does not notice what it does not know, and would go to another store. */
const storeKeys: Readonly<Record<StoreSettings["kind"], ReadonlySet<string>>> = {
  s3: keysOf<Exclude<keyof S3StoreOptions, Unsettable>>({
    bucket: true,
    serverAddress: true,
    insecure: true,
    region: true,
    accessKeyId: true,
    secretAccessKey: true,
    sessionToken: true,
    authentication: true,
    serverSideEncryption: true,
    serverSideEncryptionKeyId: true,
    dualStack: true,
    accelerate: true,
    pathStyle: true,
    roleArn: true,
    uploadRoleArn: true,
    assumeRoleMaxConcurrency: true,
    disableAssumeRoleCredentialsCaching: true,
    transferTimeoutMs: true,
    stsEndpoint: true,
    checksums: true,
    responseChecksums: true,
    partBytes: true,
    uploadConcurrency: true,
    maxAttempts: true,
    retryDelayMs: true,
    idleTimeoutMs: true,
  }),
  gcs: keysOf<Exclude<keyof GcsStoreOptions, Unsettable>>({
    bucket: true,
    credentialsFile: true,
    accessId: true,
    privateKey: true,
    universeDomain: true,
    endpoint: true,
    maxUploadedBytes: true,
    partBytes: true,
    maxAttempts: true,
    retryDelayMs: true,
    idleTimeoutMs: true,
  }),
  azure: keysOf<Exclude<keyof AzureStoreOptions, Unsettable>>({
    accountName: true,
    accountKey: true,
    containerName: true,
    storageDomain: true,
    endpoint: true,
    partBytes: true,
    uploadConcurrency: true,
    maxAttempts: true,
    retryDelayMs: true,
    idleTimeoutMs: true,
  }),
};

/** A table that the compiler holds against the options of the package. */
function keysOf<Key extends string>(table: Readonly<Record<Key, true>>): ReadonlySet<string> {
  return new Set(Object.keys(table));
}
