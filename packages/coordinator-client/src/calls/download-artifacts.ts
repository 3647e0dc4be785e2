import type {
  ArtifactFile,
  CallOptions,
  DownloadArtifactsOutcome,
  DownloadArtifactsResult,
  DownloadToFileOptions,
  JobCredentials,
} from "../client.ts";
import { describeError } from "../error-text.ts";
import { printable } from "../printable.ts";
import { NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import { isRetriableStatus } from "../retry/classification.ts";
import { createRetrier } from "../retry/retry.ts";
import type { Retrier } from "../retry/retry.ts";
import { computeWait } from "../retry/wait.ts";
import { redirectedRequest, sendFollowing } from "../transport/redirects.ts";
import type { BodyReader, WireRequest, WireResponse } from "../transport/transport.ts";
import { writeStream } from "./artifact-file.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { readAnswer, startCall, wireRequest } from "./call.ts";
import type { Route } from "./call.ts";
import { downloadParts } from "./download-parts.ts";
import type { PartsOptions, PartsResult } from "./download-parts.ts";
import { logEnd } from "./wording.ts";

/** Takes what a download brings. */
interface Receiver {
  /** The archive from its start. Called once per try. */
  readonly receive: (body: ReadableStream<Uint8Array>) => Promise<void>;
  /** How to take it in parts, where that is possible. */
  readonly parts?: Omit<PartsOptions, "transport" | "request">;
}

/**
 * Downloads the artifacts of an earlier job. The first try lets the coordinator point to its object storage, later ones
 * ask it for the bytes themselves.
 *
 * @see coordinator-protocol 9.2, 2.6
 */
export async function downloadArtifacts(
  context: CallContext,
  dependency: JobCredentials,
  receive: (body: ReadableStream<Uint8Array>) => Promise<void>,
  options: CallOptions = {},
): Promise<DownloadArtifactsResult> {
  return await download(context, dependency, { receive }, options);
}

/**
 * Downloads the artifacts of an earlier job into a file, in parallel parts where an object store gives them.
 *
 * @throws {RangeError} `parallelParts` or `partBytes` is no integer of at least 1
 * @see coordinator-protocol 9.2
 */
export async function downloadArtifactsToFile(
  context: CallContext,
  dependency: JobCredentials,
  file: ArtifactFile,
  options: DownloadToFileOptions = {},
): Promise<DownloadArtifactsResult> {
  const { parallelParts = PARALLEL_PARTS, partBytes = PART_BYTES } = options;
  for (const [name, value] of Object.entries({ parallelParts, partBytes })) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be an integer of at least 1`);
  }
  const receive = (body: ReadableStream<Uint8Array>): Promise<void> => writeStream(file, body);
  const receiver = parallelParts === 1 ? { receive } : { receive, parts: { file, parallelParts, partBytes } };
  return await download(context, dependency, receiver, options);
}

async function download(
  context: CallContext,
  dependency: JobCredentials,
  receiver: Receiver,
  { signal }: CallOptions,
): Promise<DownloadArtifactsResult> {
  let attempts = 0;
  let throttled = false;
  for (let tries = 1; ; tries += 1) {
    const request: CallRequest = {
      method: "GET",
      path: `jobs/${dependency.id}/artifacts`,
      query: tries === 1 ? "?direct_download=true" : "",
      endpoint: "jobs/{id}/artifacts",
      headers: { "job-token": dependency.token.reveal() },
      secrets: [dependency.token],
      signal,
    };
    const answer = await (tries === 1 ? tryDirectly : tryOnce)(context, request, receiver);
    attempts += answer.facts.attempts;
    throttled ||= answer.facts.throttled;
    const outcome = outcomeOf(answer.facts.status);
    const result = { ...answer.facts, attempts, throttled, outcome, tries };
    if (outcome === "succeeded") {
      return result;
    }
    if (outcome !== "failed" || tries >= TRIES) {
      logEnd(context, "error", TEXTS[outcome], request, { ...answer, facts: result });
      return result;
    }
    const waitMs = Math.max(WAIT_MS, toldWait(context, answer));
    logEnd(context, "warn", `Artifact download failed, trying again in ${waitMs / 1000} s`, request, answer);
    await context.sleep(waitMs, signal);
  }
}

const PARALLEL_PARTS = 16;
const PART_BYTES = 16 * 1024 * 1024;
const TRIES = 3;
const WAIT_MS = 1000;

const TEXTS: Readonly<Record<Exclude<DownloadArtifactsOutcome, "succeeded">, string>> = {
  forbidden: "Artifact download refused, the token does not open these artifacts",
  "not-found": "Artifact download failed, there are no such artifacts",
  failed: "Artifact download failed",
};

function outcomeOf(status: number): DownloadArtifactsOutcome {
  switch (status) {
    case 200:
      return "succeeded";
    case 401:
    case 403:
      return "forbidden";
    case 404:
      return "not-found";
    default:
      return "failed";
  }
}

/** Where the retry layer has waited, there is nothing left to wait for; the first request of all is not its business. */
function toldWait(context: CallContext, answer: Answer): number {
  if (answer.facts.attempts > 1 || !isRetriableStatus(answer.facts.status)) return 0;
  const headers = { resetTime: answer.header("ratelimit-resettime"), retryAfter: answer.header("retry-after") };
  const { waitMs, source } = computeWait(headers, { now: context.now(), backoffStep: 0, random: () => 0, jitterMs: 0 });
  return source === "backoff" ? 0 : waitMs;
}

/** Asks where the archive is, and gets it there. */
async function tryDirectly(context: CallContext, request: CallRequest, receiver: Receiver): Promise<Answer> {
  const asked = await startCall(context, request, { retry: once, send: (transport, wire) => transport.send(wire) });
  if ("answer" in asked) return asked.answer;
  const location = isRedirect(asked.response.status) ? asked.response.header("location") : undefined;
  if (location === undefined || location === "") return await take(context, request, receiver, asked);
  await asked.response.discard(request.signal);

  const parts = await tryParts(context, request, receiver, location);
  const before = asked.facts.attempts + parts.requests;
  const answer = parts.complete
    ? { facts: { ...asked.facts, status: 200 }, statusLine: "200 OK", json: undefined, header: () => undefined }
    : await tryOnce(context, request, receiver, {
        send: (transport, wire) => sendFollowing(transport, redirectedRequest(wire, location) ?? wire),
      });
  const attempts = parts.complete ? before : before + answer.facts.attempts;
  return { ...answer, facts: { ...answer.facts, attempts } };
}

async function tryParts(
  context: CallContext,
  request: CallRequest,
  { parts }: Receiver,
  location: string,
): Promise<PartsResult> {
  const { base, transport } = context;
  const none = { complete: false, requests: 0 };
  if (parts === undefined || "problem" in base) return none;
  let target: WireRequest | undefined;
  try {
    target = redirectedRequest(wireRequest(context, base, request, context.requestId()), location);
  } catch {
    // The usual way tells what is wrong with the address.
  }
  return target === undefined ? none : await downloadParts({ ...parts, transport, request: target });
}

async function tryOnce(
  context: CallContext,
  request: CallRequest,
  receiver: Receiver,
  route: Route = {},
): Promise<Answer> {
  const exchange = await startCall(context, request, route);
  return "answer" in exchange ? exchange.answer : await take(context, request, receiver, exchange);
}

async function take(
  context: CallContext,
  request: CallRequest,
  { receive }: Receiver,
  { response, facts }: { readonly response: WireResponse; readonly facts: CallFacts },
): Promise<Answer> {
  if (response.status !== 200) {
    return await readAnswer(context, request, response, facts);
  }
  const broken = await deliver(response.reader(), receive, request.signal);
  return {
    facts: broken === undefined ? facts : brokenFacts(request, facts, broken),
    statusLine: broken === undefined ? "200 OK" : "200 OK, broken off",
    json: undefined,
    header: (name) => response.header(name),
  };
}

const once: Retrier = createRetrier({ maxAttempts: 1 });

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/**
 * Hands the body to its receiver.
 *
 * @returns what broke the connection; undefined when everything arrived that the receiver asked for
 * @throws what the receiver throws by itself, which another try would not cure
 */
async function deliver(
  source: BodyReader,
  receive: (body: ReadableStream<Uint8Array>) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<Error | undefined> {
  let broken: Error | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = await source.read();
          if (chunk === undefined) {
            controller.close();
          } else {
            controller.enqueue(chunk);
          }
        } catch (error) {
          broken = error instanceof Error ? error : new Error(String(error), { cause: error });
          controller.error(error);
        }
      },
      cancel: () => source.cancel(),
    },
    { highWaterMark: 0 },
  );
  try {
    await receive(body);
  } catch (error) {
    signal?.throwIfAborted();
    if (broken === undefined) {
      throw error;
    }
  } finally {
    // Without effect on a body that was read to its end.
    source.cancel();
  }
  signal?.throwIfAborted();
  return broken;
}

function brokenFacts(request: CallRequest, facts: CallFacts, broken: Error): CallFacts {
  const text = `${request.method} ${request.path}: the body broke off: ${describeError(broken)}`;
  return { ...facts, status: NO_ANSWER_STATUS, message: printable(text, request.secrets) };
}
