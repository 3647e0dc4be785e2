import { lstatSync, realpathSync } from "node:fs";

import { CacheArchiveError } from "../errors.ts";
import { pathFromBytes, printablePath, toFileSystemPath } from "../path-bytes.ts";

/** A link in the way is followed only to a place inside the root. */
export function followInside(target: string, shown: string, root: string): string {
  const real = realPathOf(target);
  const name = printablePath(shown);
  if (real === undefined || !contains(root, real)) {
    const message = `"${name}" is a link that leads outside the project directory; nothing is written below it`;
    throw new CacheArchiveError({ code: "outside-root", message, entryName: name });
  }
  if (!lstatSync(toFileSystemPath(real)).isDirectory()) throw conflict("ENOTDIR", shown, "it leads to no folder");
  return real;
}

/** Whether a relative path without `..` stays inside the root, whatever links lie on its way. */
export function isInside(root: string, target: unknown): target is string {
  if (typeof target !== "string" || target.includes("\0")) return false;
  if (target.split("/").includes("..")) return false;
  const real = realPathOf(`${root}/${target}`);
  return real !== undefined && contains(root, real);
}

function contains(root: string, real: string): boolean {
  return real === root || real.startsWith(root === "/" ? "/" : `${root}/`);
}

function realPathOf(path: string): string | undefined {
  try {
    return pathFromBytes(realpathSync(toFileSystemPath(path), { encoding: "buffer" }));
  } catch {
    // It leads nowhere, or in a circle.
    return undefined;
  }
}

export function conflict(code: string, path: string, what: string): CacheArchiveError {
  const entryName = printablePath(path);
  const cause = Object.assign(new Error(`${code}: ${what}`), { code });
  return new CacheArchiveError({ code: "io", message: `restore "${entryName}": ${cause.message}`, entryName, cause });
}
