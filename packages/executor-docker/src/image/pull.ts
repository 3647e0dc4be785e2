import { createInterface } from "node:readline";

import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { DockerExecutorError, EngineUnreachableError, ImagePullError, messageOf } from "../errors.ts";
import type { PullPolicy, Sleep } from "../types.ts";
import type { RegistryLogins } from "./credentials.ts";
import { pullFailureReason } from "./failure-kind.ts";
import { isImageId, isImageName, pullReference } from "./reference.ts";

/** An image that is on the engine. */
export interface PresentImage {
  /** The name by which it was asked for. */
  readonly name: string;
  /** What containers are made of: its digest where it has one, else its id. */
  readonly reference: string;
  readonly id: string;
  /** The user that containers have without being told another one; empty is root. */
  readonly user: string;
  /** Ports such as `5432/tcp` that it says to listen on. */
  readonly exposedPorts: readonly string[];
  readonly hasHealthCheck: boolean;
}

export interface PullOptions {
  readonly engine: Engine;
  readonly policies: readonly PullPolicy[];
  readonly platform: string | undefined;
  readonly logins: RegistryLogins;
  /** Under which it is really pulled. */
  readonly reference: string;
  /** Says what a failure may come from. */
  readonly advice: ((reference: string, message: string) => string | undefined) | undefined;
  /** Learns of the image that is used, and whether it was pulled for that. */
  readonly onUse: (id: string, wasPulled: boolean) => Promise<void>;
  readonly log: (text: string) => void;
  readonly warn: (text: string) => void;
  readonly sleep: Sleep;
  readonly signal: AbortSignal;
}

/**
 * Sees to it that an image is on the engine, by the first policy that works.
 *
 * @throws {ImagePullError} none does; the reason is that of the last one
 * @throws `signal.reason`
 * @see job-execution 2.3
 */
export async function obtainImage(image: string, options: PullOptions): Promise<PresentImage> {
  const { policies, reference, log, warn, signal } = options;
  if (!isImageName(reference)) {
    throw new ImagePullError(
      image,
      "runner_configuration_error",
      `${JSON.stringify(reference)} is not the name of an image; names look like registry.example.com/group/image:tag, in lower case`,
    );
  }
  if (reference !== image) log(`Image ${image} is taken from ${reference}`);
  log(`Using effective pull policy of [${policies.join(" ")}] for container ${image}`);
  let failure: unknown;
  for (const [index, policy] of policies.entries()) {
    if (index > 0)
      log(`Attempt #${index + 1}: Trying ${JSON.stringify(policy)} pull policy for ${JSON.stringify(image)}`);
    try {
      return await byPolicy(image, policy, options);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ImagePullError)) throw error;
      failure = error;
      const message = messageOf(error.cause ?? error);
      warn(`Failed to pull image with policy ${JSON.stringify(policy)}: ${message}`);
      const advice = options.advice?.(reference, message);
      if (advice !== undefined) log(advice);
    }
  }
  throw failure;
}

async function byPolicy(image: string, policy: PullPolicy, options: PullOptions): Promise<PresentImage> {
  const { log } = options;
  if (policy !== "always" || isImageId(image)) {
    const present = await findImage(image, options);
    if (present !== undefined) {
      if (policy === "if-not-present") log(`Using locally found image version due to "if-not-present" pull policy`);
      await options.onUse(present.id, false);
      logUse(image, present, log);
      return present;
    }
    if (policy === "never" || isImageId(image)) {
      const why = isImageId(image) ? "what is named by its id cannot be pulled" : "the pull policy is never";
      throw new ImagePullError(image, "runner_configuration_error", `it is not on the engine, and ${why}`);
    }
  }
  await pullWithRetries(image, options);
  const present = await findImage(image, options);
  if (present === undefined) throw new ImagePullError(image, "image_pull_failure", "it was pulled, but is not there");
  await options.onUse(present.id, true);
  logUse(image, present, log);
  return present;
}

function logUse(image: string, { id, reference }: PresentImage, log: (text: string) => void): void {
  const digest = reference === id ? "" : ` with digest ${reference}`;
  log(`Using docker image ${id} for ${image}${digest} ...`);
}

/** @returns undefined when the engine does not have it */
async function findImage(name: string, { engine, reference, signal }: PullOptions): Promise<PresentImage | undefined> {
  try {
    const found = await engine.call(
      "inspect an image",
      (docker) => docker.getImage(pullReference(reference)).inspect(),
      { signal },
    );
    // The configuration may be missing in what an engine tells, whatever the types say.
    const config = found.Config as Partial<typeof found.Config> | undefined;
    const healthCheck = (config as { readonly Healthcheck?: { readonly Test?: readonly string[] } } | undefined)
      ?.Healthcheck;
    return {
      name,
      id: found.Id,
      reference: found.RepoDigests?.[0] ?? found.Id,
      user: config?.User ?? "",
      exposedPorts: Object.keys(config?.ExposedPorts ?? {}),
      hasHealthCheck: (healthCheck?.Test ?? []).length > 0 && healthCheck?.Test?.[0] !== "NONE",
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const TRIES = 3;
const FIRST_PAUSE_MS = 2_000;

async function pullWithRetries(image: string, options: PullOptions): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      await pull(image, options);
      return;
    } catch (error) {
      options.signal.throwIfAborted();
      const isPassing = error instanceof ImagePullError && error.failureReason === "runner_external_dependency_failure";
      if (!isPassing || tried === TRIES) throw error;
      options.warn(`Pulling ${image} failed, trying again: ${messageOf(error)}`);
      await options.sleep(FIRST_PAUSE_MS * tried, options.signal);
    }
  }
}

async function pull(image: string, options: PullOptions): Promise<void> {
  const { engine, log, signal, platform, reference } = options;
  const login = options.logins.find(reference);
  if (login !== undefined) log(`Authenticating with credentials from ${login.source}`);
  log(`Pulling docker image ${reference} ...`);
  const query = new URLSearchParams({
    fromImage: pullReference(reference),
    ...(platform === undefined ? {} : { platform }),
  });
  const headers: Record<string, string> = login === undefined ? {} : { "x-registry-auth": login.header };
  try {
    const path = `/images/create?${query}`;
    const answer = await engine.open({ what: "pull an image", method: "POST", path, headers, signal });
    // The status says nothing: what goes wrong comes as a line.
    for await (const line of createInterface({ input: answer, crlfDelay: Number.POSITIVE_INFINITY })) {
      const message = errorOf(line);
      if (message !== undefined) throw pullFailure(image, reference, message);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ImagePullError || error instanceof EngineUnreachableError) throw error;
    const message = messageOf(error);
    if (!DockerExecutorError.isInstance(error))
      throw new ImagePullError(image, "image_pull_failure", message, { cause: error });
    throw pullFailure(image, reference, message, { cause: error });
  }
}

function pullFailure(image: string, reference: string, message: string, options?: ErrorOptions): ImagePullError {
  const reason = pullFailureReason(message);
  const isCutOff = reason === "runner_external_dependency_failure";
  const cure = isCutOff
    ? `; the engine does not reach its registry: bring the image there by "docker pull ${reference}" when it does, or from another host by "docker save" and "docker load"; the pull policy if-not-present then finds it`
    : "";
  return new ImagePullError(image, reason, `${message}${cure}`, options);
}

function errorOf(line: string): string | undefined {
  if (!line.includes('"error"')) return undefined;
  const { error } = JSON.parse(line) as { readonly error?: unknown };
  return typeof error === "string" ? error : undefined;
}
