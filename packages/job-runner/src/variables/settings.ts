import { parseDuration } from "../duration.ts";

/** What a job decides by variables about its own run. @see job-execution 1.3, 1.4, 1.9 */
export interface JobSettings {
  readonly getSourcesAttempts: number;
  readonly restoreCacheAttempts: number;
  readonly artifactDownloadAttempts: number;
  /** Undefined: no limit of its own. */
  readonly scriptTimeoutMs: number | undefined;
  readonly afterScriptTimeoutMs: number;
  readonly afterScriptIgnoreErrors: boolean;
  readonly debugTrace: boolean;
  /** Whether the job's log gets what its services print. */
  readonly debugServices: boolean;
  /** Lines for the log about values that cannot be used. */
  readonly warnings: readonly string[];
}

export interface SettingsOptions {
  /** Prepared variables; file variables give their content. */
  readonly lookup: (name: string) => string | undefined;
  readonly jobTimeoutMs: number;
  /** Whether the operator has forbidden it. */
  readonly debugTraceDisabled: boolean;
}

/** Reads the settings; one that cannot be used falls back to its default with a warning. */
export function readSettings({ lookup, jobTimeoutMs, debugTraceDisabled }: SettingsOptions): JobSettings {
  const warnings: string[] = [];
  const attempts = (name: string): number => readAttempts(name, lookup(name), warnings);
  const flag = (name: string, byDefault: boolean): boolean => readFlag(name, lookup(name), byDefault, warnings);
  const timeout = (name: string): number | undefined => readTimeout(name, lookup(name), jobTimeoutMs, warnings);
  const debugTrace = flag("CI_DEBUG_TRACE", false);
  if (debugTrace && debugTraceDisabled) {
    warnings.push("CI_DEBUG_TRACE: usage is disabled on this Runner");
  }
  const debugServices = flag("CI_DEBUG_SERVICES", false);
  if (debugServices && debugTraceDisabled) {
    warnings.push("CI_DEBUG_SERVICES: usage is disabled on this Runner");
  }
  return {
    getSourcesAttempts: attempts("GET_SOURCES_ATTEMPTS"),
    restoreCacheAttempts: attempts("RESTORE_CACHE_ATTEMPTS"),
    artifactDownloadAttempts: attempts("ARTIFACT_DOWNLOAD_ATTEMPTS"),
    scriptTimeoutMs: timeout("RUNNER_SCRIPT_TIMEOUT"),
    afterScriptTimeoutMs: timeout("RUNNER_AFTER_SCRIPT_TIMEOUT") ?? DEFAULT_AFTER_SCRIPT_TIMEOUT_MS,
    afterScriptIgnoreErrors: flag("AFTER_SCRIPT_IGNORE_ERRORS", true),
    debugTrace: debugTrace && !debugTraceDisabled,
    debugServices: debugServices && !debugTraceDisabled,
    warnings,
  };
}

/** @returns undefined for a text that is no boolean. @see https://pkg.go.dev/strconv#ParseBool */
export function parseBoolean(text: string): boolean | undefined {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  return undefined;
}

const DEFAULT_AFTER_SCRIPT_TIMEOUT_MS = 5 * 60_000;
const MOST_ATTEMPTS = 10;

function readAttempts(name: string, text: string | undefined, warnings: string[]): number {
  if (text === undefined || text === "") return 1;
  if (!/^[+-]?\d+$/.test(text)) {
    warnings.push(`${name}: expected an integer, got ${JSON.stringify(text)}; using 1`);
    return 1;
  }
  const attempts = Math.min(Math.max(Number(text), 1), MOST_ATTEMPTS);
  if (attempts !== Number(text)) {
    warnings.push(`${name}: ${text} is outside of 1 to ${MOST_ATTEMPTS}; using ${attempts}`);
  }
  return attempts;
}

function readFlag(name: string, text: string | undefined, byDefault: boolean, warnings: string[]): boolean {
  if (text === undefined || text === "") return byDefault;
  const value = parseBoolean(text);
  if (value === undefined) {
    warnings.push(`${name}: expected true or false, got ${JSON.stringify(text)}; using ${byDefault}`);
  }
  return value ?? byDefault;
}

function readTimeout(
  name: string,
  text: string | undefined,
  jobTimeoutMs: number,
  warnings: string[],
): number | undefined {
  if (text === undefined || text === "") return undefined;
  const ms = parseDuration(text);
  if (ms === undefined) {
    warnings.push(`${name}: ignoring malformed timeout ${JSON.stringify(text)}; give a unit, as in 90s or 1h30m`);
    return undefined;
  }
  if (ms < 0 || ms > jobTimeoutMs) {
    warnings.push(
      `${name}: ignoring timeout ${JSON.stringify(text)}; it is ${ms < 0 ? "negative" : "longer than the job's"}`,
    );
    return undefined;
  }
  return ms === 0 ? undefined : ms;
}
