import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import type { JobLog } from "../job-log.ts";
import { readPlainFile } from "../plain-files.ts";
import { removeTree } from "../remove-tree.ts";
import { isAbsent } from "../system-errors.ts";
import { repositories } from "./working-copy.ts";

export interface PlantedSubmodulesOptions {
  /** Whether what lies in submodules is looked through: git will enter the submodules of submodules, and clean all. */
  readonly deep: boolean;
  /** Told of what is removed; undefined when nobody is to be told. */
  readonly log: Pick<JobLog, "warning"> | undefined;
}

/**
 * Removes the files of submodules whose `.git` is anything but the name of their repository in that of the project. Git enters submodules, the runner's
 * own as well as that of scripts, and obeys the settings and hooks of whatever that leads to. Git brings the files again.
 *
 * Not before the checkout: it brings the list of submodules, and folders in the place of links.
 */
export async function removePlantedSubmodules(project: string, { deep, log }: PlantedSubmodulesOptions): Promise<void> {
  const listed = await readPlainFile(join(project, ".gitmodules"));
  if (listed === undefined) return;
  const own = new Set((await repositories(project, true)).slice(1));
  for (const path of pathsIn(listed)) {
    if (!(await isBelow(project, path))) continue;
    for (const planted of await plantedFolders(join(project, path), own, deep)) {
      log?.warning("A job has put another repository in the place of a submodule. It will be made anew.");
      await removeTree(planted);
    }
  }
}

/** @see https://git-scm.com/docs/gitmodules */
function pathsIn(listed: string): string[] {
  const values = [...listed.matchAll(/^[ \t]*path[ \t]*=[ \t]*(.*?)[ \t]*\r?$/gm)].map((match) => match[1] ?? "");
  return values.map((value) => (value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(["\\])/g, "$1") : value));
}

/** Whether each step is a folder. Git does not enter a submodule otherwise, nor one outside. */
async function isBelow(project: string, path: string): Promise<boolean> {
  const steps = path.split("/");
  if (steps.includes("..") || steps[0] === "") return false;
  for (let count = 1; count <= steps.length; count += 1) {
    if (!(await isFolder(join(project, ...steps.slice(0, count))))) return false;
  }
  return true;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

async function plantedFolders(top: string, own: ReadonlySet<string>, deep: boolean): Promise<string[]> {
  const planted: string[] = [];
  const waiting = [top];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await readdir(folder, { withFileTypes: true });
    const git = entries.find(({ name }) => name === ".git");
    if (git !== undefined && !(await leadsTo(own, join(folder, ".git"), git))) {
      planted.push(folder);
    } else if (deep) {
      for (const entry of entries) if (entry.isDirectory()) waiting.push(join(folder, entry.name));
    }
  }
  return planted;
}

/** @see https://git-scm.com/docs/gitrepository-layout */
async function leadsTo(own: ReadonlySet<string>, path: string, entry: Dirent): Promise<boolean> {
  const text = entry.isFile() ? await readPlainFile(path) : undefined;
  const target = /^gitdir: (.+?)[\r\n]*$/.exec(text ?? "")?.[1];
  return target !== undefined && own.has(resolve(dirname(path), target));
}
