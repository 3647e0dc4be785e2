import { finishRestores } from "@fleetfoot/cache-archive";
import { type CacheEvent, type CacheStageOptions, goArchitecture, goPlatform } from "@fleetfoot/job-runner";
import type { Invocation } from "../command.ts";
import type { CliContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { checkProjectDirectory } from "../project/project-directory.ts";
import { cachePlace, readProjectId } from "./place.ts";
import { openRunnerStore } from "./runner-store.ts";
import { transferLine } from "./transfer-line.ts";

/** What `create` and `restore` share: one entry, described on the command line, and the stage of a job that handles it. */
export interface CacheStage {
  readonly options: CacheStageOptions;
  /** What became of the entry, once the stage has ended. */
  event(): CacheEvent | undefined;
  close(): void;
}

/**
 * Reads the entry and prepares the stage.
 *
 * @param whenAbandoned - what becomes of the entry when the process ends in the middle of the stage, a sentence
 * @throws {UsageError} no key, no paths, or no such project
 * @throws {CacheArchiveError} an earlier restore that was killed cannot be completed
 */
export async function openCacheStage(
  invocation: Invocation,
  context: CliContext,
  whenAbandoned: string,
): Promise<CacheStage> {
  const key = invocation.text("key");
  const paths = invocation.texts("path");
  if (key === undefined || key.trim() === "")
    throw new UsageError("A cache needs a key.", { cure: "Give one with --key NAME." });
  if (paths.length === 0 && !invocation.flag("untracked")) {
    throw new UsageError("A cache needs files.", { cure: "Name them with --path, which may be repeated." });
  }
  const place = cachePlace(invocation, context);
  await checkProjectDirectory(place.projectDirectory);
  const runnerStore = await openRunnerStore(invocation, context);
  const projectId = readProjectId(invocation);
  if (runnerStore !== undefined && projectId === undefined) {
    throw new UsageError("Names in a store begin with the project.", { cure: "Give its id with --project-id." });
  }
  // A restore that was killed half-way may have left a tree that nobody should save, nor restore over.
  await finishRestores(place.projectDirectory);
  const { stdout, stderr } = context;
  const transfer = transferLine(stderr);
  const variables: Readonly<Record<string, string>> = {
    ...context.environment,
    CACHE_EXCLUDE: invocation.texts("exclude").join("\n"),
  };
  const lookup = (name: string): string | undefined => variables[name];
  let last: CacheEvent | undefined;
  const endAbandon = context.stop.onAbandon(() => {
    transfer.close();
    return whenAbandoned;
  });
  return {
    options: {
      entries: [
        {
          key,
          paths,
          untracked: invocation.flag("untracked"),
          fallback_keys: invocation.texts("fallback-key"),
          policy: invocation.flag("if-absent") ? "pull-push-if-absent" : "pull-push",
        },
      ],
      job: { name: "cache", ref: "", projectId: projectId ?? place.projectId },
      lookup,
      lookupContent: lookup,
      environment: context.environment,
      projectDirectory: place.projectDirectory,
      cacheDirectory: place.projectCacheDirectory,
      ownDirectories: [place.cacheDirectory, place.stateDirectory],
      store: runnerStore?.remote,
      hashKeys: false,
      foreignArchitecture: runnerStore?.cache.foreignArchitecture,
      platform: { os: goPlatform(), arch: goArchitecture() },
      log: {
        plain: (text) => stdout.write(`${text}\n`),
        info: (text) => stdout.write(`${text}\n`),
        notice: (text) => stdout.write(`${text}\n`),
        warning: (text) => stderr.write(`WARNING: ${text}\n`),
        error: (text) => stderr.write(`ERROR: ${text}\n`),
      },
      events: (event) => {
        last = event;
      },
      onTransfer: transfer.show,
      signal: context.stop.forced,
    },
    event: () => last,
    close: () => {
      endAbandon();
      transfer.close();
    },
  };
}
