import { randomUUID } from "node:crypto";

import { createLastUpdates } from "./calls/last-updates.ts";
import type { CallContext } from "./calls/exchange.ts";
import { downloadArtifacts, downloadArtifactsToFile } from "./calls/download-artifacts.ts";
import { patchTrace } from "./calls/patch-trace.ts";
import { adoptVerified, registerRunner } from "./calls/register-runner.ts";
import { requestJob } from "./calls/request-job.ts";
import { resetRunnerToken, resetTokenByAccessToken } from "./calls/reset-token.ts";
import { unregisterRunner } from "./calls/unregister-runner.ts";
import { updateJob } from "./calls/update-job.ts";
import { uploadArtifacts } from "./calls/upload-artifacts.ts";
import { verifyRunner } from "./calls/verify-runner.ts";
import type { CoordinatorClient, CoordinatorClientOptions } from "./client.ts";
import { InvalidInstanceUrlError } from "./errors.ts";
import { normaliseInstanceUrl } from "./instance-url.ts";
import { checkLabels } from "./labels.ts";
import { noopLogger } from "./logger.ts";
import { createRetrier } from "./retry/retry.ts";
import { sleep as realSleep } from "./retry/sleep.ts";
import { userAgent } from "./runner-info.ts";
import { createFetchTransport } from "./transport/fetch-transport.ts";
import { createSocketTransport } from "./transport/socket-transport.ts";

/**
 * Makes the client of one coordinator. It holds a pool of connections; close it when it is no longer needed.
 *
 * A URL that cannot be used is not an error here: every call then resolves with status -100, so that one wrong entry of
 * a configuration does not stop the runners beside it.
 *
 * @throws {InvalidLabelsError} a label of `info` that a coordinator would not take
 * @throws {RangeError} `maxAttempts` or `retryJitterMs` out of range
 * @throws {TypeError} both `fetch` and `dispatcher` given
 */
export function createCoordinatorClient(options: CoordinatorClientOptions): CoordinatorClient {
  const context = createContext(options);
  const lastUpdates = createLastUpdates();
  return {
    registerRunner: (request, callOptions) => registerRunner(context, request, callOptions),
    async adoptRunner(runner, callOptions) {
      return adoptVerified(context, runner, await verifyRunner(context, lastUpdates, runner, callOptions));
    },
    verifyRunner: (runner, callOptions) => verifyRunner(context, lastUpdates, runner, callOptions),
    unregisterRunner: (runner, callOptions) => unregisterRunner(context, lastUpdates, runner, callOptions),
    resetRunnerToken: (runner, callOptions) => resetRunnerToken(context, lastUpdates, runner, callOptions),
    resetRunnerTokenById: (request, callOptions) => resetTokenByAccessToken(context, request, callOptions),
    requestJob: (request, callOptions) => requestJob(context, lastUpdates, request, callOptions),
    updateJob: (job, update, callOptions) => updateJob(context, job, update, callOptions),
    patchTrace: (job, chunk, callOptions) => patchTrace(context, job, chunk, callOptions),
    uploadArtifacts: (job, upload, callOptions) => uploadArtifacts(context, job, upload, callOptions),
    downloadArtifacts: (job, receive, callOptions) => downloadArtifacts(context, job, receive, callOptions),
    downloadArtifactsToFile: (job, file, callOptions) => downloadArtifactsToFile(context, job, file, callOptions),
    close: (closeOptions) => context.transport.close(closeOptions),
  };
}

const HEADERS_TIMEOUT_MS = 10 * 60 * 1000;
const CONNECTION_MAX_AGE_MS = 15 * 60 * 1000;
const REQUEST_TIMEOUT_MS = 60 * 60 * 1000;

function createContext(options: CoordinatorClientOptions): CallContext {
  const {
    info,
    fetch,
    dispatcher,
    logger = noopLogger,
    headersTimeoutMs = HEADERS_TIMEOUT_MS,
    requestTimeoutMs = REQUEST_TIMEOUT_MS,
    requestId = newRequestId,
    connectionMaxAgeMs = CONNECTION_MAX_AGE_MS,
    tls = {},
    proxies,
    onAttempt = ignore,
    onCall = ignore,
    now = Date.now,
    sleep = realSleep,
    random = Math.random,
  } = options;
  if (fetch !== undefined && dispatcher !== undefined) {
    throw new TypeError("Give either fetch or dispatcher, not both");
  }
  checkLabels(info.labels ?? {});
  return {
    base: apiBase(options.url),
    transport:
      fetch === undefined
        ? createSocketTransport({ dispatcher, tlsFiles: tls, proxies, maxAgeMs: connectionMaxAgeMs, logger, now })
        : createFetchTransport(fetch),
    retry: createRetrier(options),
    logger,
    info,
    userAgent: userAgent(info, `node${process.versions.node}`),
    headersTimeoutMs,
    requestTimeoutMs,
    requestId,
    onAttempt,
    onCall,
    now,
    sleep,
    random,
  };
}

function apiBase(url: string): CallContext["base"] {
  try {
    const instance = new URL(normaliseInstanceUrl(url));
    return { origin: instance.origin, path: `${instance.pathname.replace(/\/$/, "")}/api/v4/` };
  } catch (error) {
    if (!(error instanceof InvalidInstanceUrlError)) {
      throw error;
    }
    return { problem: error.message };
  }
}

function newRequestId(): string {
  return randomUUID().replaceAll("-", "");
}

function ignore(): void {
  // Nobody counts.
}
