import { resolve } from "node:path";
import { type JobCertificates, Secret } from "@fleetfoot/coordinator-client";
import type { RunnerSettings } from "@fleetfoot/job-runner";
import type { RunnerEntry } from "@fleetfoot/runner-config";
import { defined } from "../defined.ts";
import { version } from "../version.ts";

/** What a job needs to know of the runner that got it. */
export function toRunnerSettings(
  entry: RunnerEntry,
  process: { readonly systemId: string; readonly workingDirectory: string },
  certificates: JobCertificates | undefined,
): RunnerSettings {
  return {
    name: entry.name,
    token: new Secret(entry.token),
    systemId: process.systemId,
    url: entry.url,
    version,
    buildsDirectory: resolve(process.workingDirectory, entry.buildsDirectory ?? "builds"),
    cacheDirectory: resolve(process.workingDirectory, entry.cacheDirectory ?? "cache"),
    environment: entry.environment,
    featureFlags: entry.featureFlags,
    shell: entry.shell === "sh" ? "sh" : "bash",
    outputLimitBytes: entry.outputLimitBytes,
    debugTraceDisabled: entry.debugTraceDisabled,
    prepareTimeoutMs: entry.prepareTimeoutMs,
    getSourcesTimeoutMs: entry.getSourcesTimeoutMs,
    ...defined({
      tls: certificates && tlsOf(certificates),
      customBuildDirectory: entry.customBuildDirectory,
      cleanGitConfig: entry.cleanGitConfig,
      cloneUrl: entry.cloneUrl,
      preGetSourcesScript: entry.preGetSourcesScript,
      postGetSourcesScript: entry.postGetSourcesScript,
      preBuildScript: entry.preBuildScript,
      postBuildScript: entry.postBuildScript,
    }),
  };
}

function tlsOf({ authority, certificate, key }: JobCertificates): NonNullable<RunnerSettings["tls"]> {
  return { authority, ...defined({ certificate, key: key?.reveal() }) };
}
