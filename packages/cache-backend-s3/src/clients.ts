import { GetBucketLocationCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3ClientConfig } from "@aws-sdk/client-s3";
import { STSClient } from "@aws-sdk/client-sts";
import { Agent } from "undici";
import { chooseEndpoint } from "./endpoint.ts";
import { staticCredentials } from "./options.ts";
import type { S3Credentials, S3StoreOptions } from "./options.ts";
import { assumeScopedRoles } from "./role.ts";
import type { AssumeScopedRole } from "./role.ts";
import { undiciHandler } from "./undici-handler.ts";

/** Makes the clients of one bucket. */
export interface S3Clients {
  /** A client for transfers. @param credentials - other ones than the store's own */
  client(credentials?: S3Credentials): S3Client;
  /** One whose requests somebody else will send: nothing of a body that is not known goes into the signature. */
  signingClient(credentials?: S3Credentials): S3Client;
  readonly assumeRole: AssumeScopedRole;
}

/** See {@link S3Clients}. @throws {TypeError} the options contradict each other */
export function createClients(options: S3StoreOptions): S3Clients {
  const { bucket, serverAddress = "", insecure = false, pathStyle, onWarning = () => {}, now = Date.now } = options;
  if (bucket === "") throw new TypeError("a store in S3 needs the name of a bucket");
  const endpoint = chooseEndpoint({ bucket, serverAddress, insecure, pathStyle });
  const dispatcher = options.dispatcher ?? new Agent({ connect: { timeout: connectTimeoutMs } });
  const requestHandler = undiciHandler(dispatcher);
  const ownCredentials = staticCredentials(options);
  const isCustom = endpoint.url !== undefined;
  const checksums = options.checksums ?? (isCustom ? "when-required" : undefined);

  const common = (credentials: S3Credentials | undefined): S3ClientConfig => ({
    requestHandler,
    logger: silent,
    forcePathStyle: endpoint.pathStyle,
    // A request with the header would have to wait for an answer that some services never give.
    expectContinueHeader: false,
    ...(isCustom ? { endpoint: endpoint.url } : amazonOptions(options)),
    ...(credentials === undefined ? {} : { credentials }),
  });
  const region = once(() => findRegion(options.region, bucket, () => common(ownCredentials), onWarning));
  const configFor = (credentials = ownCredentials): S3ClientConfig => ({ ...common(credentials), region });

  const stsEndpoint = options.stsEndpoint ?? (endpoint.isAmazon ? undefined : endpoint.url);
  const stsClient = new STSClient({
    requestHandler,
    logger: silent,
    region,
    ...(stsEndpoint === undefined ? {} : { endpoint: stsEndpoint }),
    ...(ownCredentials === undefined ? {} : { credentials: ownCredentials }),
  });
  const { assumeRoleMaxConcurrency = 0, disableAssumeRoleCredentialsCaching = false } = options;
  const { transferTimeoutMs = 600_000, serverSideEncryption, serverSideEncryptionKeyId } = options;
  return {
    client: (credentials) => new S3Client({ ...configFor(credentials), ...checksumOptions(checksums) }),
    signingClient: (credentials) => new S3Client({ ...configFor(credentials), ...checksumOptions("when-required") }),
    assumeRole: assumeScopedRoles({
      bucket,
      serverSideEncryption,
      serverSideEncryptionKeyId,
      maxConcurrency: concurrencyOf(assumeRoleMaxConcurrency),
      caches: !disableAssumeRoleCredentialsCaching,
      neededLifetimeMs: Math.min(Math.max(transferTimeoutMs, 60_000), 55 * 60_000),
      now,
      region,
      client: stsClient,
    }),
  };
}

/** Without a logger the SDK writes some of its thoughts to the console. */
const silent: NonNullable<S3ClientConfig["logger"]> = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

const connectTimeoutMs = 30_000;
const locationTimeoutMs = 30_000;
const defaultRegion = "us-east-1";

function amazonOptions({ dualStack = true, accelerate = false }: S3StoreOptions): S3ClientConfig {
  return { useDualstackEndpoint: dualStack, useAccelerateEndpoint: accelerate };
}

function checksumOptions(checksums: S3StoreOptions["checksums"]): S3ClientConfig {
  if (checksums === undefined) return {};
  const when = checksums === "when-required" ? "WHEN_REQUIRED" : "WHEN_SUPPORTED";
  return { requestChecksumCalculation: when, responseChecksumValidation: when };
}

function concurrencyOf(wanted: number): number {
  if (wanted < 0) return Infinity;
  return wanted === 0 ? 5 : wanted;
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html */
async function findRegion(
  configured: string | undefined,
  bucket: string,
  config: () => S3ClientConfig,
  onWarning: (message: string) => void,
): Promise<string> {
  if (configured !== undefined && configured !== "") return configured;
  const client = new S3Client({ ...config(), region: defaultRegion });
  try {
    const command = new GetBucketLocationCommand({ Bucket: bucket });
    const { LocationConstraint: found } = await client.send(command, {
      abortSignal: AbortSignal.timeout(locationTimeoutMs),
    });
    // The first regions had no names of today's kind.
    return found === "EU" ? "eu-west-1" : (found ?? "") || defaultRegion;
  } catch (error) {
    const reason = error instanceof Error ? error.message || error.name : String(error);
    onWarning(`the region of bucket ${bucket} cannot be found, so ${defaultRegion} is taken: ${reason}`);
    return defaultRegion;
  }
}

/** A failure is not kept, so the next caller tries again. */
function once<Result>(action: () => Promise<Result>): () => Promise<Result> {
  let known: Promise<Result> | undefined;
  return () => {
    known ??= action().catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}
