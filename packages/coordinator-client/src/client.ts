import type { ProxySettings } from "@fleetfoot/proxy-env";
import type { Dispatcher } from "undici";

import type { Logger } from "./logger.ts";
import type { JobPayload } from "./payload.ts";
import type { CallFacts, JobUpdate, PatchTraceResult, TraceChunk, UpdateJobResult } from "./results.ts";
import type { RunnerInfo } from "./runner-info.ts";
import type { Secret } from "./secret.ts";
import type { TlsFiles } from "./transport/tls-files.ts";

/** Anything that answers a request the way `fetch` does; an in-process server's handler fits. */
export type FetchLike = (request: Request) => Promise<Response>;

export interface CoordinatorClientOptions {
  /** Address of the instance, for instance `https://gitlab.example.com`; a path in it is kept. */
  readonly url: string;
  readonly info: RunnerInfo;
  /** Sends every request instead of sockets of our own. @default sockets, by undici */
  readonly fetch?: FetchLike;
  /** Sends every request instead of the client's own connection pool; it stays open on close. Not together with `fetch`. */
  readonly dispatcher?: Dispatcher;
  /**
   * Files for TLS connections of the client's own pool. They are looked at before each request, so that new certificates are used
   * without a restart. @default the authorities that Node and the operating system trust
   */
  readonly tls?: TlsFiles;
  /**
   * Which proxy the client's own pool takes for which target, as `readProxyEnvironment` of `@fleetfoot/proxy-env` reads it from an
   * environment. Each request is decided anew, a redirected one as well. @default no proxies
   */
  readonly proxies?: ProxySettings;
  /**
   * Age at which the connections of the client's own pool are made anew, so that load balancers can spread them again; 0 or less means
   * never. Whatever is under way is not disturbed. @default 900_000
   */
  readonly connectionMaxAgeMs?: number;
  /** Requests per call in all, an integer of at least 1; 1 never retries. @default 5 */
  readonly maxAttempts?: number;
  /** Upper end of a random time added to every wait that the coordinator asked for. @default 0 */
  readonly retryJitterMs?: number;
  /** Longest time from sending a request until the answer's headers. @default 600_000 */
  readonly headersTimeoutMs?: number;
  /** Longest time of one request with its answer's body. @default 3_600_000 */
  readonly requestTimeoutMs?: number;
  /** @default noopLogger */
  readonly logger?: Logger;
  /** Called for each request that was answered or failed, for counting; what it throws ends the call. @default nothing */
  readonly onAttempt?: (record: AttemptRecord) => void;
  /** Called once when a call has its answer, or none, for counting; what it throws ends the call. @default nothing */
  readonly onCall?: (record: CallRecord) => void;
  /** Epoch milliseconds. @default Date.now */
  readonly now?: () => number;
  /** Rejects with `signal.reason` when aborted. @default a timer */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Uniform in [0, 1). @default Math.random */
  readonly random?: () => number;
  /** A fresh id of 32 hexadecimal digits per call. @default a random UUID without dashes */
  readonly requestId?: () => string;
}

export interface CallOptions {
  /** Ends the call, also in the middle of a wait; it then rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
}

export interface CloseOptions {
  /**
   * Whether calls in flight lose their connection, instead of being waited for. They then end as without an answer.
   *
   * @default false
   */
  readonly force?: boolean;
}

/** One ended call as a counter wants it. */
export interface CallRecord {
  readonly method: string;
  /** Path below `/api/v4/` with ids replaced: `jobs/{id}/trace`. */
  readonly endpoint: string;
  readonly status: number;
  readonly attempts: number;
  readonly throttled: boolean;
  /** From the first request to the last answer's headers, waits included. */
  readonly durationMs: number;
}

/** One request as a counter wants it: also one whose status a later attempt of the call hides. */
export interface AttemptRecord {
  readonly method: string;
  /** As in {@link CallRecord}. */
  readonly endpoint: string;
  /** -1 without an answer. */
  readonly status: number;
  /** 1 for the first request of a call; a higher one is a retry. */
  readonly attempt: number;
  /** From sending it to its answer's headers. */
  readonly durationMs: number;
}

/** What opens the calls of one job. */
export interface JobCredentials {
  readonly id: number;
  readonly token: Secret;
}

/** What opens the calls of one runner on one machine. */
export interface RunnerCredentials {
  readonly token: Secret;
  /** This machine, for instance `s_0a1b2c3d4e5f`. */
  readonly systemId: string;
}

/** A runner as the coordinator knows it. */
export interface RegisteredRunner {
  /** 0 when an old server named none. */
  readonly id: number;
  readonly token: Secret;
  /** When the token was received, in whole seconds: `2026-11-21T10:00:00Z`. */
  readonly tokenObtainedAt: string;
  /** RFC 3339; undefined when the token does not expire. */
  readonly tokenExpiresAt: string | undefined;
}

/** @see coordinator-protocol 3.1 */
export interface RegisterRunnerRequest {
  /** The registration token, not an authentication token. */
  readonly token: Secret;
  readonly description?: string;
  readonly maintenanceNote?: string;
  readonly tags?: readonly string[];
  /** @default false; always true when there are no tags */
  readonly runUntagged?: boolean;
  /** @default true */
  readonly locked?: boolean;
  readonly accessLevel?: "not_protected" | "ref_protected";
  readonly maximumTimeoutSeconds?: number;
  /** @default false */
  readonly paused?: boolean;
}

export interface RegisterRunnerResult extends CallFacts {
  /** Undefined when registration failed; `message` says why. */
  readonly runner: RegisteredRunner | undefined;
}

/**
 * `invalid`: the coordinator says that the runner does not exist. `inconclusive`: it could not be asked, or it gave no
 * clear answer; such a runner must not be removed.
 */
export type VerifyRunnerOutcome = "valid" | "invalid" | "inconclusive";

/** @see coordinator-protocol 3.3 */
export interface VerifyRunnerResult extends CallFacts {
  readonly outcome: VerifyRunnerOutcome;
  /** Present when valid; 0 when an old server named none. */
  readonly id?: number;
  /** RFC 3339; absent when the token does not expire. */
  readonly tokenExpiresAt?: string;
}

/** @see coordinator-protocol 3.4 */
export interface UnregisterRunnerResult extends CallFacts {
  readonly succeeded: boolean;
}

/** @see coordinator-protocol 3.5 */
export interface ResetTokenRequest {
  /** The runner's, as the coordinator numbers it. */
  readonly id: number;
  /** A personal access token, or another one that stands for a user. */
  readonly accessToken: Secret;
}

/** Where the coordinator reaches the runner for a terminal in a running job. @see coordinator-protocol 4.1 */
export interface JobSession {
  readonly url: string;
  /** PEM text. */
  readonly certificate: string;
  readonly authorization: Secret;
}

export interface RequestJobRequest extends RunnerCredentials {
  /** Replaces members of the client's own info for this runner. */
  readonly info?: Partial<RunnerInfo>;
  /** Absent for a runner without terminals. An address that the coordinator cannot reach makes some versions answer 409 to every request. */
  readonly session?: JobSession;
}

/** @see coordinator-protocol 4.4 */
export interface RequestJobResult extends CallFacts {
  readonly job: JobPayload | undefined;
  /** False only when the coordinator refused the token or the URL is unusable. */
  readonly healthy: boolean;
  /**
   * Why the job must not run, as text for its log. The job must be confirmed as running and then failed with
   * `runner_system_failure` and exit code 3. @see coordinator-protocol 5.3
   */
  readonly rejection?: string;
  /** What git and other tools of the job need for TLS with the coordinator; absent without TLS. @see coordinator-protocol 1.4 */
  readonly certificates?: JobCertificates;
}

/** PEM text for a job's own tools. */
export interface JobCertificates {
  /** Authorities to trust: the configured file's, else the chain of the connection that brought the job. */
  readonly authority: string;
  /** Of the configured pair. */
  readonly certificate: string | undefined;
  readonly key: Secret | undefined;
}

/** One file to upload. */
export interface ArtifactUpload {
  /** Name with its ending, as `artifactFileName` makes it. */
  readonly fileName: string;
  /** `archive`, or a report type such as `junit`. */
  readonly type?: string;
  /** `zip`, `gzip`, `raw`, `zipzstd` or `tarzstd`. */
  readonly format?: string;
  /** Free text such as `1 week`. */
  readonly expireIn?: string;
  /** Gives the bytes from the start. Called again for every attempt; a stream that is no longer needed is cancelled. */
  open(): ReadableStream<Uint8Array>;
}

export interface UploadArtifactsOptions extends CallOptions {
  /** Longest wait for the answer's headers once the body is sent. @default the client's */
  readonly headersTimeoutMs?: number;
  /** Longest time of one request. @default the client's */
  readonly requestTimeoutMs?: number;
}

export type UploadArtifactsOutcome = "succeeded" | "forbidden" | "too-large" | "failed";

/** @see coordinator-protocol 9.1 */
export interface UploadArtifactsResult extends CallFacts {
  readonly outcome: UploadArtifactsOutcome;
  /** Outer tries; `attempts` counts the requests of all of them. */
  readonly tries: number;
}

/** Takes the bytes of a download. A `FileHandle` of `node:fs/promises` that is open for writing is one. */
export interface ArtifactFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(length: number): Promise<void>;
}

export interface DownloadToFileOptions extends CallOptions {
  /** Parts that are fetched at a time; 1 fetches everything as one stream. @default 16 */
  readonly parallelParts?: number;
  /** Length of a part. @default 16_777_216 */
  readonly partBytes?: number;
}

export type DownloadArtifactsOutcome = "succeeded" | "forbidden" | "not-found" | "failed";

/** @see coordinator-protocol 9.2 */
export interface DownloadArtifactsResult extends CallFacts {
  readonly outcome: DownloadArtifactsOutcome;
  /** Outer tries; `attempts` counts the requests of all of them. */
  readonly tries: number;
}

/**
 * Every call that a runner makes. A call resolves with what the coordinator's answer means, also when there was no
 * answer; it rejects only when its signal is aborted, then with `signal.reason`.
 */
export interface CoordinatorClient {
  /** Makes a new runner by a registration token. Not for authentication tokens: see {@link adoptRunner}. */
  registerRunner(request: RegisterRunnerRequest, options?: CallOptions): Promise<RegisterRunnerResult>;
  /**
   * Takes over a runner that was made on the server, by its authentication token (`glrt-`) or by the token of a runner
   * registered earlier. @see coordinator-protocol 3.2
   */
  adoptRunner(runner: RunnerCredentials, options?: CallOptions): Promise<RegisterRunnerResult>;
  verifyRunner(runner: RunnerCredentials, options?: CallOptions): Promise<VerifyRunnerResult>;
  /** Removes this machine's entry for a `glrt-` token, the runner itself for any other. */
  unregisterRunner(runner: RunnerCredentials, options?: CallOptions): Promise<UnregisterRunnerResult>;
  /**
   * Exchanges the runner's token for a new one. The old one is dead once the coordinator has answered, so keep the new one durably before
   * anything else. The result's id is 0 when the coordinator names none. @see coordinator-protocol 3.5
   */
  resetRunnerToken(runner: RunnerCredentials, options?: CallOptions): Promise<RegisterRunnerResult>;
  /** The same for a runner whose token is not known, by the access token of somebody who may manage it. */
  resetRunnerTokenById(request: ResetTokenRequest, options?: CallOptions): Promise<RegisterRunnerResult>;
  requestJob(request: RequestJobRequest, options?: CallOptions): Promise<RequestJobResult>;
  updateJob(job: JobCredentials, update: JobUpdate, options?: CallOptions): Promise<UpdateJobResult>;
  patchTrace(job: JobCredentials, chunk: TraceChunk, options?: CallOptions): Promise<PatchTraceResult>;
  uploadArtifacts(
    job: JobCredentials,
    upload: ArtifactUpload,
    options?: UploadArtifactsOptions,
  ): Promise<UploadArtifactsResult>;
  /**
   * @param dependency - the earlier job, with the token of the dependency entry
   * @param receive - takes the archive; called once per try and must start over each time. When it rejects although the
   *   bytes arrived in full or were still arriving, the call rejects with that error and does not try again.
   */
  downloadArtifacts(
    dependency: JobCredentials,
    receive: (body: ReadableStream<Uint8Array>) => Promise<void>,
    options?: CallOptions,
  ): Promise<DownloadArtifactsResult>;
  /**
   * The same into a file. An archive in object storage that is longer than one part is fetched in several parts at a time, when its server
   * gives parts, and otherwise as one stream. What the file rejects with ends the call.
   *
   * @param file - only positions are written, so it must not be opened for appending; whatever it holds before a try is overwritten
   */
  downloadArtifactsToFile(
    dependency: JobCredentials,
    file: ArtifactFile,
    options?: DownloadToFileOptions,
  ): Promise<DownloadArtifactsResult>;
  /** Closes the idle connections and resolves when calls in flight have ended. */
  close(options?: CloseOptions): Promise<void>;
}
