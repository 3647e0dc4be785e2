import { GetBucketLocationCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3ClientConfig } from "@aws-sdk/client-s3";
import { STSClient } from "@aws-sdk/client-sts";
import { Agent } from "undici";
import { checkServerAddress, chooseEndpoint } from "./endpoint.ts";
import { reasonOf } from "./failures.ts";
import { staticCredentials } from "./options.ts";
import type { S3Credentials, S3StoreOptions } from "./options.ts";
import { assumeScopedRoles } from "./role.ts";
import type { AssumeScopedRole } from "./role.ts";
import { undiciHandler } from "./undici-handler.ts";

/** Makes the clients of one bucket. */
export interface S3Clients {
  /** Finds the region, which the clients themselves would wait for whatever their signal says. */
  findRegion(signal: AbortSignal | undefined): Promise<void>;
  /** A client for transfers. @param credentials - other ones than the store's own */
  client(credentials?: S3Credentials): S3Client;
  /** One whose requests somebody else will send: nothing of a body that is not known goes into the signature. */
  signingClient(credentials?: S3Credentials): S3Client;
  readonly assumeRole: AssumeScopedRole;
}

/** See {@link S3Clients}. @throws {TypeError} the options contradict each other */
export function createClients(options: S3StoreOptions): S3Clients {
  const { bucket, serverAddress = "", insecure = false, pathStyle, now = Date.now } = options;
  if (bucket === "") throw new TypeError("a store in S3 needs the name of a bucket");
  checkServerAddress(serverAddress);
  const endpoint = chooseEndpoint({ bucket, serverAddress, insecure, pathStyle });
  const dispatcher = options.dispatcher ?? new Agent({ connect: { timeout: connectTimeoutMs } });
  const requestHandler = undiciHandler(dispatcher, options.idleTimeoutMs);
  const ownCredentials = staticCredentials(options);
  const isCustom = endpoint.url !== undefined;
  const byItself = isCustom ? "when-required" : undefined;
  const checksums = checksumOptions(options.checksums ?? byItself, options.responseChecksums ?? byItself);

  const common = (credentials: S3Credentials | undefined): S3ClientConfig => ({
    requestHandler,
    logger: silent,
    forcePathStyle: endpoint.pathStyle,
    // A request with the header would have to wait for an answer that some services never give.
    expectContinueHeader: false,
    ...(isCustom ? { endpoint: endpoint.url } : amazonOptions(options)),
    ...(credentials === undefined ? {} : { credentials }),
  });
  const region = regionOf(options, now, () => findRegion(bucket, common(ownCredentials)));
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
  const { serverSideEncryption, serverSideEncryptionKeyId } = options;
  return {
    findRegion: async (signal) => void (await untilAborted(region(), signal)),
    client: (credentials) => new S3Client({ ...configFor(credentials), ...checksums }),
    signingClient: (credentials) =>
      new S3Client({ ...configFor(credentials), ...checksumOptions("when-required", "when-required") }),
    assumeRole: assumeScopedRoles({
      bucket,
      serverSideEncryption,
      serverSideEncryptionKeyId,
      maxConcurrency: concurrencyOf(assumeRoleMaxConcurrency),
      caches: !disableAssumeRoleCredentialsCaching,
      now,
      region,
      client: stsClient,
    }),
  };
}

/** Without a logger the SDK writes some of its thoughts to the console. */
const silent: NonNullable<S3ClientConfig["logger"]> = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

const connectTimeoutMs = 30_000;
const LOCATION_TIMEOUT_MS = 30_000;
/** Who may not ask for the location is never told, and each try costs a request. */
const LOCATION_PAUSE_MS = 5 * 60_000;
const DEFAULT_REGION = "us-east-1";

function amazonOptions({ dualStack = true, accelerate = false }: S3StoreOptions): S3ClientConfig {
  return { useDualstackEndpoint: dualStack, useAccelerateEndpoint: accelerate };
}

type Checksums = S3StoreOptions["checksums"];

function checksumOptions(requests: Checksums, responses: Checksums): S3ClientConfig {
  return {
    ...(requests === undefined ? {} : { requestChecksumCalculation: whenWords[requests] }),
    ...(responses === undefined ? {} : { responseChecksumValidation: whenWords[responses] }),
  };
}

const whenWords = { "when-required": "WHEN_REQUIRED", "when-supported": "WHEN_SUPPORTED" } as const;

function concurrencyOf(wanted: number): number {
  if (wanted < 0) return Infinity;
  return wanted === 0 ? 5 : wanted;
}

/**
 * The region that is configured, or else found once. While it cannot be found the first one of all is taken, and the service is asked again from
 * time to time: what kept it from answering may be gone.
 */
function regionOf(
  { region: configured = "", bucket, onWarning = () => {} }: S3StoreOptions,
  now: () => number,
  find: () => Promise<string>,
): () => Promise<string> {
  if (configured !== "") return async () => configured;
  let known: Promise<string> | undefined;
  let askAgainAtMs = Infinity;
  return () => {
    if (known === undefined || now() >= askAgainAtMs) {
      askAgainAtMs = Infinity;
      known = find().catch((error: unknown) => {
        askAgainAtMs = now() + LOCATION_PAUSE_MS;
        onWarning(`the region of bucket ${bucket} cannot be found, so ${DEFAULT_REGION} is taken: ${reasonOf(error)}`);
        return DEFAULT_REGION;
      });
    }
    return known;
  };
}

/** Others may wait for the same; only this one's waiting ends. */
async function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return work;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html */
async function findRegion(bucket: string, config: S3ClientConfig): Promise<string> {
  const client = new S3Client({ ...config, region: DEFAULT_REGION });
  const { LocationConstraint: found } = await client.send(new GetBucketLocationCommand({ Bucket: bucket }), {
    abortSignal: AbortSignal.timeout(LOCATION_TIMEOUT_MS),
  });
  // The first regions had no names of today's kind.
  return found === "EU" ? "eu-west-1" : (found ?? "") || DEFAULT_REGION;
}
