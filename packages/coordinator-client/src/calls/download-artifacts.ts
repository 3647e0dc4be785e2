import type { CallOptions, DownloadArtifactsOutcome, DownloadArtifactsResult, JobCredentials } from "../client.ts";
import { describeError } from "../error-text.ts";
import { printable } from "../printable.ts";
import { NO_ANSWER_STATUS } from "../results.ts";
import type { CallFacts } from "../results.ts";
import type { BodyReader } from "../transport/transport.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { readAnswer, startCall } from "./call.ts";
import { logEnd } from "./wording.ts";

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
  const { signal } = options;
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
    const answer = await tryOnce(context, request, receive);
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
    logEnd(context, "warn", `Artifact download failed, trying again in ${WAIT_MS / 1000} s`, request, answer);
    await context.sleep(WAIT_MS, signal);
  }
}

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

async function tryOnce(
  context: CallContext,
  request: CallRequest,
  receive: (body: ReadableStream<Uint8Array>) => Promise<void>,
): Promise<Answer> {
  const exchange = await startCall(context, request);
  if ("answer" in exchange) {
    return exchange.answer;
  }
  const { response, facts } = exchange;
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
