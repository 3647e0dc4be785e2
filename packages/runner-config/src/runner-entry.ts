import { readCache } from "./cache.ts";
import type { RunnerEntry } from "./config.ts";
import { readDocker } from "./docker-section.ts";
import { expandEnvironment } from "./expand-environment.ts";
import type { TableReader } from "./table-reader.ts";

/** Reads one `[[runners]]` section; problems go to the reader. */
export function readRunnerEntry(
  table: TableReader,
  environment: Readonly<Record<string, string>> | undefined,
): RunnerEntry {
  const name = table.string("name") ?? "";
  return {
    name,
    url: readExpanded(table, "url", environment),
    token: readToken(table, environment),
    id: table.integer("id"),
    tokenObtainedAt: table.time("token_obtained_at"),
    tokenExpiresAt: table.time("token_expires_at"),
    tlsCaFile: nonEmpty(table.string("tls-ca-file")),
    tlsCertificateFile: nonEmpty(table.string("tls-cert-file")),
    tlsKeyFile: nonEmpty(table.string("tls-key-file")),
    executor: readExecutor(table, name),
    limit: Math.max(0, table.integer("limit") ?? 0),
    requestConcurrency: Math.max(1, table.integer("request_concurrency") ?? 1),
    strictCheckInterval: table.boolean("strict_check_interval") ?? false,
    outputLimitBytes: positive(table.integer("output_limit"), 4096) * 1024,
    unhealthyRequestsLimit: positive(table.integer("unhealthy_requests_limit"), 3),
    unhealthyIntervalMs: positive(table.duration("unhealthy_interval"), 3_600_000),
    jobStatusFinalUpdateRetryLimit: positive(table.integer("job_status_final_update_retry_limit"), 10),
    buildsDirectory: nonEmpty(table.string("builds_dir")),
    cacheDirectory: nonEmpty(table.string("cache_dir")),
    cloneUrl: nonEmpty(table.string("clone_url")),
    environment: readEnvironment(table),
    shell: nonEmpty(table.string("shell")) ?? "bash",
    preGetSourcesScript: readScript(table, "pre_get_sources_script", "pre_clone_script"),
    postGetSourcesScript: readScript(table, "post_get_sources_script", "post_clone_script"),
    preBuildScript: readScript(table, "pre_build_script"),
    postBuildScript: readScript(table, "post_build_script"),
    prepareTimeoutMs: Math.max(0, table.duration("prepare_timeout") ?? 0),
    getSourcesTimeoutMs: Math.max(0, table.duration("get_sources_timeout") ?? 0),
    debugTraceDisabled: table.boolean("debug_trace_disabled") ?? false,
    cleanGitConfig: table.boolean("clean_git_config"),
    customBuildDirectory: table.table("custom_build_dir")?.boolean("enabled"),
    featureFlags: table.table("feature_flags")?.flags() ?? {},
    docker: readDocker(table.table("docker")),
    cache: readCache(table.table("cache")),
  };
}

function readExpanded(
  table: TableReader,
  key: "url" | "token",
  environment: Readonly<Record<string, string>> | undefined,
): string {
  const written = table.string(key) ?? "";
  if (environment === undefined) return written;
  const { text, missing } = expandEnvironment(written, environment);
  for (const name of missing) {
    table.problem(
      key,
      "warning",
      "missing-variable",
      `the variable ${name} is not in the environment, so it counts as empty; set it`,
    );
  }
  return text;
}

function readToken(table: TableReader, environment: Readonly<Record<string, string>> | undefined): string {
  const token = readExpanded(table, "token", environment).trim();
  if (token === "") {
    table.problem(
      "token",
      "warning",
      "missing-token",
      "there is no token, so this runner is left out; register it again or remove the section",
    );
  }
  return token;
}

/** Executors that are gone, and what took their place. */
const REPLACED_EXECUTORS: Readonly<Record<string, string>> = {
  "docker-ssh+machine": "docker+machine",
  "docker-ssh": "docker",
};

function readExecutor(table: TableReader, name: string): string {
  const executor = table.string("executor") ?? "";
  const replacement = Object.hasOwn(REPLACED_EXECUTORS, executor) ? REPLACED_EXECUTORS[executor] : undefined;
  if (replacement !== undefined) {
    const message = `the executor ${executor} of the runner "${name}" no longer exists; write ${replacement} instead`;
    table.problem("executor", "error", "removed-executor", message);
  }
  return executor;
}

function readEnvironment(table: TableReader): readonly string[] {
  const entries = table.strings("environment") ?? [];
  return entries.filter((entry, index) => {
    if (entry.indexOf("=") > 0) return true;
    table.problem(
      "environment",
      "warning",
      "ignored-entry",
      `entry ${index + 1} has no NAME= at its start and is ignored`,
    );
    return false;
  });
}

/** Scripts may have an older name; the newer one wins. */
function readScript(table: TableReader, key: string, olderKey?: string): string | undefined {
  const older = olderKey === undefined ? undefined : nonEmpty(table.string(olderKey));
  return nonEmpty(table.string(key)) ?? older;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** Zero and less mean the default. */
function positive(value: number | undefined, otherwise: number): number {
  return value === undefined || value <= 0 ? otherwise : value;
}
