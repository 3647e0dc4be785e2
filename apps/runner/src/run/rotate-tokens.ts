import {
  type Logger,
  type RegisteredRunner,
  Secret,
  shortToken,
  tokenRotationAtMs,
} from "@fleetfoot/coordinator-client";
import { type RunnerConfig, type RunnerEntry, updateRunners } from "@fleetfoot/runner-config";
import { loadConfig, saveConfig } from "../config-file.ts";
import { connect, type NetworkSettings } from "../instance/connect.ts";

/** How soon a reset that failed is tried again. */
const RETRY_MS = 60_000;

/** How long the end of the process waits for an exchange that has begun. */
const GRACE_MS = 5000;

export interface TokenRotationOptions {
  /** Absolute path of the configuration that the new tokens are written to. */
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly systemId: string;
  readonly network: NetworkSettings;
  readonly logger: Logger;
  /** Told when a new token is in the file. */
  readonly onRotated: () => void;
  /** Ends the wait for the next token. An exchange that has begun is brought to its end. */
  readonly signal: AbortSignal;
  /** The process ends: a token that could not be written is written now or never. */
  readonly lastChance: AbortSignal;
  readonly now: () => number;
  /** Resolves after a time of any length; rejects with the signal's reason. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Exchanges each token that expires at three quarters of its life, and writes the new one into the file before anybody uses it.
 *
 * @returns when the signal is aborted, or when no token of the configuration expires
 * @see coordinator-protocol 3.5
 */
export async function rotateTokens(config: RunnerConfig, options: TokenRotationOptions): Promise<void> {
  const { signal, now, sleep } = options;
  const due = new Map<RunnerEntry, number>();
  for (const runner of config.runners) {
    const atMs = tokenRotationAtMs(runner.tokenObtainedAt, runner.tokenExpiresAt);
    if (atMs !== undefined) due.set(runner, atMs);
  }
  while (due.size > 0 && !signal.aborted) {
    const [runner, atMs] = [...due].reduce((first, next) => (next[1] < first[1] ? next : first));
    const waitMs = atMs - now();
    if (waitMs > 0) {
      await sleep(waitMs, signal).catch(() => undefined);
      continue;
    }
    if (await rotate(runner, options)) due.delete(runner);
    else due.set(runner, now() + RETRY_MS);
  }
}

/** Rotation that goes on over changes of the configuration. */
export interface TokenRotation {
  update(config: RunnerConfig): void;
  /** Begins no exchange any longer; resolves when one that has begun is over, its token in the file, or takes too long. */
  stop(): Promise<void>;
}

/** Rotates the tokens of a configuration until it is stopped; one round is over before the next begins, so no token is exchanged twice. */
export function startTokenRotation(
  config: RunnerConfig,
  options: Omit<TokenRotationOptions, "signal" | "lastChance">,
): TokenRotation {
  const stopping = new AbortController();
  let waiting = new AbortController();
  let round = Promise.resolve();
  const start = (next: RunnerConfig): void => {
    waiting.abort();
    waiting = new AbortController();
    const { signal } = waiting;
    round = round
      .then(() => rotateTokens(next, { ...options, signal, lastChance: stopping.signal }))
      .catch((error: unknown) => options.logger.error("Tokens are not renewed any longer", { error }));
  };
  start(config);
  return {
    update: start,
    async stop() {
      waiting.abort();
      stopping.abort();
      const inTime = new AbortController();
      await Promise.race([round, options.sleep(GRACE_MS, inTime.signal).catch(() => undefined)]);
      inTime.abort();
    },
  };
}

async function rotate(runner: RunnerEntry, options: TokenRotationOptions): Promise<boolean> {
  const { systemId, network, logger, onRotated, lastChance } = options;
  const client = connect(runner, network, logger);
  try {
    const { runner: renewed } = await client.resetRunnerToken({ token: new Secret(runner.token), systemId });
    if (renewed === undefined) return false;
    // The old token is dead now, so the new one must not get lost, however long the disk stays full.
    for (let isLast = lastChance.aborted; !(await keep(runner, renewed, options)); isLast = lastChance.aborted) {
      if (isLast) {
        logger.error("The runner's new token is lost; register it again", { runner_name: runner.name });
        return false;
      }
      await options.sleep(RETRY_MS, lastChance).catch(() => undefined);
    }
    logger.info("The runner's token was renewed", {
      runner: shortToken(renewed.token.reveal()),
      runner_name: runner.name,
    });
    onRotated();
    return true;
  } finally {
    await client.close();
  }
}

async function keep(runner: RunnerEntry, renewed: RegisteredRunner, options: TokenRotationOptions): Promise<boolean> {
  const { path, environment, logger } = options;
  const { token, tokenObtainedAt, tokenExpiresAt } = renewed;
  const changes = { token: token.reveal(), tokenObtainedAt, tokenExpiresAt };
  const isOurs = (entry: RunnerEntry): boolean => entry.token === runner.token && entry.url === runner.url;
  try {
    const { text } = await loadConfig(path, environment);
    await saveConfig(path, updateRunners(text, isOurs, changes, { environment }));
    return true;
  } catch (error) {
    logger.error("The runner's new token cannot be written; trying again", {
      config: path,
      runner_name: runner.name,
      error,
    });
    return false;
  }
}
