import { writeFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@fleetfoot/coordinator-client";
import { bootId, membersOfGroup, processEnvironment, processStatus, processStatusNow } from "../process-table.ts";
import { makeFolder } from "../make-folder.ts";

/** What tells a later process which process groups this one has started. */
export interface GroupRecords {
  /** Notes a group by its leader, before it returns; returns a function that removes the note. */
  add(leader: number): () => void;
}

export interface GroupRecordsOptions {
  /** Absolute path of a directory for these records alone, made when it is missing. */
  readonly directory: string;
  readonly logger: Logger;
}

/**
 * Keeps a file for each process group that runs, with the time when its leader was started. What a process that is killed has started
 * goes on without it; these files say what that is.
 */
export async function openGroupRecords({ directory, logger }: GroupRecordsOptions): Promise<GroupRecords> {
  await makeFolder(directory, 0o700);
  const boot = await bootId();
  return {
    add(leader) {
      const path = join(directory, String(leader));
      try {
        writeFileSync(path, `${processStatusNow(leader)?.startTime ?? UNKNOWN_TIME} ${boot}\n`, { mode: 0o600 });
      } catch (error) {
        logger.warn("A process group could not be noted; if this process is killed, that group goes on", { error });
      }
      return () => {
        rm(path, { force: true }).catch((error: unknown) =>
          logger.debug("The note of a process group stays", { path, error }),
        );
      };
    },
  };
}

const UNKNOWN_TIME = "-";

export interface EndLeftoverGroupsOptions extends GroupRecordsOptions {
  /** Tokens of the jobs whose processes may be left; each of them has its own in its environment. */
  readonly jobTokens: readonly string[];
  /** Time between asking a group to end and killing it. */
  readonly graceMs: number;
  readonly sleep: (ms: number) => Promise<void>;
}

/**
 * Ends the process groups that a killed process has noted: asks first, then kills.
 *
 * The number of a process is given to another one in time, so no group is touched unless it is certain that it is the noted one: its
 * leader was started at the very time, or the leader has gone and one of its processes has the token of one of the jobs in its environment.
 */
export async function endLeftoverGroups(options: EndLeftoverGroupsOptions): Promise<void> {
  const { directory, logger } = options;
  const boot = await bootId();
  const endOne = async (name: string): Promise<void> => {
    const path = join(directory, name);
    const [startTime, noted] = (await readFile(path, "latin1")).trim().split(" ");
    const leader = Number(name);
    if (Number.isSafeInteger(leader) && leader > 1 && noted === boot) {
      const standing = await standingOf(leader, startTime, options.jobTokens);
      if (standing === "ours") await endGroup(leader, options);
      if (standing === "unknown")
        logger.warn("A process group may be left of a job of a killed process; it is not certain, so it goes on", {
          group: leader,
        });
    }
    await rm(path, { force: true });
  };
  const names = await readdir(directory);
  await Promise.all(
    names.map((name) =>
      // One note that makes trouble keeps nobody from the other groups; it stays for the next process.
      endOne(name).catch((error: unknown) =>
        logger.warn("A process group that may be left of a killed process could not be looked for", {
          group: name,
          error,
        }),
      ),
    ),
  );
}

async function standingOf(
  leader: number,
  startTime: string | undefined,
  jobTokens: readonly string[],
): Promise<"ours" | "unknown" | "gone"> {
  const status = await processStatus(leader);
  if (status !== undefined && status.startTime !== startTime) return "gone";
  const members = await membersOfGroup(leader);
  if (members.length === 0) return "gone";
  if (status !== undefined) return "ours";
  const entries = new Set(jobTokens.map((token) => `CI_JOB_TOKEN=${token}`));
  const environments = await Promise.all(members.map(({ id }) => processEnvironment(id)));
  return environments.some((environment) => environment.some((entry) => entries.has(entry))) ? "ours" : "unknown";
}

const LOOK_MS = 50;

/** Time for a killed group to be gone, so that nothing of it writes any longer. */
const KILLED_MS = 1000;

async function endGroup(leader: number, { graceMs, logger, sleep }: EndLeftoverGroupsOptions): Promise<void> {
  logger.warn("Ending the processes that a job of a killed process has left", { group: leader });
  signalGroup(leader, "SIGTERM");
  if (await isGoneWithin(leader, graceMs, sleep)) return;
  signalGroup(leader, "SIGKILL");
  await isGoneWithin(leader, KILLED_MS, sleep);
}

async function isGoneWithin(leader: number, ms: number, sleep: (ms: number) => Promise<void>): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < ms; waitedMs += LOOK_MS) {
    if ((await membersOfGroup(leader)).length === 0) return true;
    await sleep(LOOK_MS);
  }
  return false;
}

function signalGroup(leader: number, name: NodeJS.Signals): void {
  try {
    process.kill(-leader, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && (error.code === "ESRCH" || error.code === "EPERM"))) throw error;
  }
}
