import type { ConfigProblem, LogLevel, RunnerConfig, RunnerEntry } from "./config.ts";
import { readRunnerEntry } from "./runner-entry.ts";
import { TableReader } from "./table-reader.ts";
import { parseToml } from "./toml.ts";

export interface ParseOptions {
  /** For `$NAME` in `url` and `token`, the only places where variables are expanded. @default nothing is expanded */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ParsedConfig {
  /** Undefined when there is an error among the problems. */
  readonly config: RunnerConfig | undefined;
  /** All of them, errors and warnings. Unknown keys are not among them: see {@link lintRunnerConfig}. */
  readonly problems: readonly ConfigProblem[];
}

/**
 * Reads a `config.toml`; an empty text is a configuration without runners. Never throws for what is in the text.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/
 */
export function parseRunnerConfig(text: string, options: ParseOptions = {}): ParsedConfig {
  const { config, problems } = read(text, options);
  return { config, problems };
}

/** Everything that {@link parseRunnerConfig} finds, and all keys that have no effect. */
export function lintRunnerConfig(text: string, options: ParseOptions = {}): readonly ConfigProblem[] {
  const { problems, root } = read(text, options);
  const unread = root?.unread() ?? [];
  return [...problems, ...unread.map(({ path, key }) => describeUnread(path, key))];
}

interface Reading extends ParsedConfig {
  readonly root: TableReader | undefined;
}

function read(text: string, options: ParseOptions): Reading {
  const parsed = parseToml(text.replace(/^\uFEFF/, ""));
  if (parsed.table === undefined) {
    const message = `the file is not valid TOML: ${parsed.reason}`;
    return {
      config: undefined,
      root: undefined,
      problems: [{ path: "", severity: "error", code: "broken-toml", message }],
    };
  }
  const problems: ConfigProblem[] = [];
  const root = new TableReader(parsed.table, "", problems);
  const config = readConfig(root, options);
  const failed = problems.some((problem) => problem.severity === "error");
  return { config: failed ? undefined : config, problems, root };
}

function readConfig(root: TableReader, options: ParseOptions): RunnerConfig {
  const tables = root.tables("runners");
  const entries = tables.map((table) => readRunnerEntry(table, options.environment));
  const runners = entries.filter((entry) => entry.token !== "");
  const config = {
    concurrent: readConcurrent(root, runners.length),
    checkIntervalMs: positive(root.integer("check_interval"), 3) * 1000,
    logLevel: readLogLevel(root),
    logFormat: root.choice("log_format", ["runner", "text", "json"]) ?? "runner",
    listenAddress: root.string("listen_address") || undefined,
    shutdownTimeoutMs: positive(root.integer("shutdown_timeout"), 30) * 1000,
    connectionMaxAgeMs: Math.max(0, root.duration("connection_max_age") ?? 900_000),
    runners,
  };
  warnOfTwins(tables, entries);
  return config;
}

function readConcurrent(root: TableReader, runnerCount: number): number {
  const concurrent = root.integer("concurrent") ?? 1;
  if (concurrent < 1) {
    root.problem("concurrent", "error", "invalid-value", `must be at least 1, not ${concurrent}`);
  } else if (concurrent < runnerCount) {
    const message = `${concurrent} is less than the number of runners (${runnerCount}): while some wait for a job, the others get no turn; raise it`;
    root.problem("concurrent", "warning", "low-concurrency", message);
  }
  return concurrent;
}

/** Two sections for one runner of the instance are one too many: it is the instance that tells the jobs of its runners apart. */
function warnOfTwins(tables: readonly TableReader[], entries: readonly RunnerEntry[]): void {
  for (const [index, entry] of entries.entries()) {
    if (entry.token === "") continue;
    const first = entries.findIndex(({ url, token }) => url === entry.url && token === entry.token);
    if (first === index) continue;
    const message = `the runner "${entry.name}" has the same url and token as "${entries[first]?.name}" (runners[${first}]); remove one of them, or register it on its own`;
    tables[index]?.problem("token", "warning", "duplicate-runner", message);
  }
}

const LOG_LEVELS = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"] as const;

function readLogLevel(root: TableReader): LogLevel {
  const level = root.choice("log_level", LOG_LEVELS) ?? "info";
  return level === "warn" ? "warning" : level;
}

function positive(value: number | undefined, otherwise: number): number {
  return value === undefined || value <= 0 ? otherwise : value;
}

/** Keys of the file format that this package does not read. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  "sentry_dsn",
  "user",
  "labels",
  "session_server",
  "machine",
  "experimental",
  ...[
    "safe_directory_checkout",
    "proxy_exec",
    "labels",
    "use_slot_cgroups",
    "slot_cgroup_template",
    "step_runner_image",
    "artifact",
    "machine",
    "monitoring",
    "referees",
    "experimental",
    "kubernetes",
    "ssh",
    "parallels",
    "virtualbox",
    "custom",
    "instance",
    "autoscaler",
    "system_id",
  ].map((key) => `runners.${key}`),
  "runners.cache.s3v2",
  ...["helper_image_flavor", "service_slot_cgroup_template"].map((key) => `runners.docker.${key}`),
]);

function describeUnread(path: string, key: string): ConfigProblem {
  if (UNSUPPORTED.has(generalPath(path))) return unsupported(path, key);
  return {
    path,
    severity: "warning",
    code: "unknown-key",
    message: `${key} is not a known key and has no effect; correct or remove it`,
  };
}

function unsupported(path: string, key: string): ConfigProblem {
  return { path, severity: "warning", code: "unsupported", message: `${key} is not supported and has no effect` };
}

function generalPath(path: string): string {
  return path.replaceAll(/\[\d+\]/g, "").toLowerCase();
}
