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
  const containers = entry.executor === "docker";
  return {
    name: entry.name,
    token: new Secret(entry.token),
    systemId: process.systemId,
    url: entry.url,
    version,
    ...(containers ? containerDirectories(entry) : hostDirectories(entry, process.workingDirectory)),
    environment: entry.environment,
    featureFlags: entry.featureFlags,
    // What suits every image; where there is a bash, it runs the same text.
    shell: containers || entry.shell === "sh" ? "sh" : "bash",
    outputLimitBytes: entry.outputLimitBytes,
    debugTraceDisabled: entry.debugTraceDisabled,
    prepareTimeoutMs: entry.prepareTimeoutMs,
    getSourcesTimeoutMs: entry.getSourcesTimeoutMs,
    ...defined({
      tls: certificates && tlsOf(certificates),
      customBuildDirectory: entry.customBuildDirectory ?? (containers || undefined),
      cleanGitConfig: entry.cleanGitConfig ?? (containers || undefined),
      foreignArchitecture: entry.cache?.foreignArchitecture,
      cloneUrl: entry.cloneUrl,
      preGetSourcesScript: entry.preGetSourcesScript,
      postGetSourcesScript: entry.postGetSourcesScript,
      preBuildScript: entry.preBuildScript,
      postBuildScript: entry.postBuildScript,
    }),
  };
}

type Directories = Pick<RunnerSettings, "buildsDirectory" | "cacheDirectory" | "sharedBuildsDirectory">;

function hostDirectories(entry: RunnerEntry, workingDirectory: string): Directories {
  return {
    buildsDirectory: resolve(workingDirectory, entry.buildsDirectory ?? "builds"),
    cacheDirectory: resolve(workingDirectory, entry.cacheDirectory ?? "cache"),
  };
}

/** Paths in the containers. Jobs share the builds directory only where the operator mounts one of the engine's host. */
function containerDirectories(entry: RunnerEntry): Directories {
  const buildsDirectory = entry.buildsDirectory ?? "/builds";
  const mounted = entry.docker?.volumes?.some((volume) => volume.split(":")[1] === buildsDirectory) ?? false;
  return { buildsDirectory, cacheDirectory: entry.cacheDirectory ?? "/cache", sharedBuildsDirectory: mounted };
}

function tlsOf({ authority, certificate, key }: JobCertificates): NonNullable<RunnerSettings["tls"]> {
  return { authority, ...defined({ certificate, key: key?.reveal() }) };
}
