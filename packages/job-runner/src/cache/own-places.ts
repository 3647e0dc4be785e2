import { realpath } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";

import type { ItemReport } from "@fleetfoot/cache-archive";
import type { JobCache } from "@fleetfoot/coordinator-client";

import { isAbsent } from "../system-errors.ts";
import type { CacheLocation } from "./location.ts";
import type { CacheStageOptions } from "./types.ts";

/** What the runner keeps in the project directory itself; an archive of it would hold itself, and grow with each save. */
export interface OwnPlaces {
  /** Items of `exclude`. */
  readonly exclude: readonly string[];
  /** Which of them had something in them that was chosen, relative to the project. @param reports - of a selection whose entries were all taken */
  leftOut(reports: readonly ItemReport[]): readonly string[];
}

/**
 * Finds what a cache must not take: the caches of this host and what else the runner keeps, where they lie below the project.
 *
 * @throws {Error} the archive would lie beside the files that it saves, so that nobody could tell them apart
 */
export async function ownPlaces(
  entry: JobCache,
  { projectDirectory, cacheDirectory, ownDirectories = [] }: CacheStageOptions,
  { localPath }: CacheLocation,
): Promise<OwnPlaces> {
  const project = await realPathOf(projectDirectory);
  const within = async (directory: string): Promise<string> => relative(project, await realPathOf(directory));
  const ofArchive = await within(dirname(localPath));
  const below = (await Promise.all([cacheDirectory, ...ownDirectories].map(within))).filter(
    (place) => place !== "" && isInside(place),
  );
  const outermost = below.filter((place) => !below.some((other) => place.startsWith(other + sep)));
  const paths = [...new Set(outermost)].filter((place) => mayName(entry, place));
  if (
    isInside(ofArchive) &&
    mayName(entry, ofArchive) &&
    !paths.some((place) => `${ofArchive}${sep}`.startsWith(place + sep))
  )
    throw new Error("the archive would lie among the files that it saves; keep caches in another directory");
  return {
    exclude: paths.map((path) => `${literal(path)}/**`),
    leftOut: (reports) =>
      paths.filter((path) =>
        reports.some(({ kind, item, count }) => kind === "exclude" && count > 0 && item === `${escaped(path)}/**`),
      ),
  };
}

function isInside(place: string): boolean {
  return place !== ".." && !place.startsWith(`..${sep}`);
}

/** What begins with another name at the top of the project takes nothing there, and is saved faster without anything to leave out. */
function mayName({ paths = [], untracked = false }: JobCache, place: string): boolean {
  if (untracked) return true;
  const [top] = place.split(sep);
  return paths.some((path) => {
    const [name] = PLAIN_TOP.exec(path) ?? [];
    return name === undefined || name === top;
  });
}

/** The first name of a path that leads nowhere else. */
const PLAIN_TOP = /^(?!\.{1,2}(?:\/|$)|.*\/\.\.)[\w.@+-]+(?=\/|$)/;

/** Of what is there; the rest of the path is as it was given. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const isFileInTheWay = error instanceof Error && "code" in error && error.code === "ENOTDIR";
    if (!(isAbsent(error) || isFileInTheWay) || dirname(path) === path) throw error;
    return join(await realPathOf(dirname(path)), basename(path));
  }
}

/** A pattern that means just this path. */
function escaped(path: string): string {
  return path.replaceAll(/[*?[\]{}\\]/g, String.raw`\$&`);
}

/** Items are expanded as words of a shell before they are patterns. */
function literal(path: string): string {
  return escaped(path).replaceAll(/[\\$`"]/g, String.raw`\$&`);
}
