import { randomBytes } from "node:crypto";

import { sleep as timerSleep } from "@fleetfoot/coordinator-client/retry";

import type { LocalCoordinatorOptions } from "./coordinator.ts";
import { LocalCoordinatorError } from "./errors.ts";
import type { CoordinatorLogger } from "./logger.ts";
import { silentLogger } from "./logger.ts";
import type { FileLookups } from "./pipeline/pipeline-run.ts";

/** The options with every default in place. */
export interface Settings {
  readonly url: string;
  readonly registrationToken: string | undefined;
  readonly holdMs: number;
  readonly onWake: "ask-again" | "assign";
  readonly twoPhaseCommit: boolean;
  readonly confirmationTimeoutMs: number;
  readonly lostJobTimeoutMs: number;
  readonly traceUpdateIntervalSeconds: number;
  readonly maxTraceBytes: number;
  readonly artifactsEnabled: boolean;
  readonly maxArtifactBytes: number;
  readonly tokenMaskPrefixes: readonly string[];
  readonly logger: CoordinatorLogger;
  readonly now: () => number;
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly randomHex: (bytes: number) => string;
  readonly fileLookups: FileLookups;
}

/** @throws {LocalCoordinatorError} `invalid-options` */
export function resolveSettings(options: Omit<LocalCoordinatorOptions, "stateDirectory">): Settings {
  const {
    url = "http://localhost",
    registrationToken,
    longPolling = { holdMs: 0 },
    twoPhaseCommit = true,
    confirmationTimeoutMs = 120_000,
    lostJobTimeoutMs = 3_600_000,
    traceUpdateIntervalSeconds = 3,
    maxTraceBytes = 100 * 1024 * 1024,
    artifactsEnabled = true,
    maxArtifactBytes = Number.POSITIVE_INFINITY,
    tokenMaskPrefixes = [],
    logger = silentLogger,
    now = Date.now,
    sleep = timerSleep,
    randomHex = (bytes) => randomBytes(bytes).toString("hex"),
    fileLookups = {},
  } = options;
  for (const [name, value] of Object.entries({
    "longPolling.holdMs": longPolling.holdMs,
    confirmationTimeoutMs,
    lostJobTimeoutMs,
    traceUpdateIntervalSeconds,
    maxTraceBytes,
    maxArtifactBytes,
  })) {
    if (!(value >= 0)) throw new LocalCoordinatorError("invalid-options", `${name} must not be negative, is ${value}`);
  }
  return {
    url: url.replace(/\/+$/, ""),
    registrationToken,
    holdMs: longPolling.holdMs,
    onWake: longPolling.onWake ?? "ask-again",
    twoPhaseCommit,
    confirmationTimeoutMs,
    lostJobTimeoutMs,
    traceUpdateIntervalSeconds,
    maxTraceBytes,
    artifactsEnabled,
    maxArtifactBytes,
    tokenMaskPrefixes,
    logger,
    now,
    sleep,
    randomHex,
    fileLookups,
  };
}
