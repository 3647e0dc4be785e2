import { withClaim } from "./claim.ts";
import type { ClaimOptions } from "./claim.ts";
import { systemCodeOf } from "./failures.ts";
import type { LocalFileSystem } from "./file-system.ts";
import { openObjectFile } from "./object-file.ts";
import { temporaryPath } from "./write-object.ts";

/*
 * Plain puts rename their file into its place without asking anybody, so what is there may be another one right after it was looked at.
 */

/** A hard link appears only where there is no file: no claim is needed, and a plain put cannot slip in between. */
export async function linkWhereAbsent(
  fileSystem: LocalFileSystem,
  temporary: string,
  path: string,
): Promise<"done" | "occupied" | "unknown"> {
  try {
    await fileSystem.link(temporary, path);
    return "done";
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return "occupied";
    // File systems without hard links say so in many ways; the claim works on all of them.
    return "unknown";
  }
}

/**
 * Removes an object's file if it holds this version. It is taken out of its place first and looked at there, where nobody replaces it; one that
 * was put right before goes back, unless a newer one has come meanwhile.
 */
export async function removeVersion(
  path: string,
  name: string,
  version: string,
  options: ClaimOptions,
): Promise<boolean> {
  const { fileSystem } = options;
  if ((await versionAt(fileSystem, path, name)) !== version) return false;
  return await withClaim(
    path,
    async () => {
      const taken = temporaryPath(path);
      try {
        await fileSystem.rename(path, taken);
      } catch (error) {
        if (systemCodeOf(error) === "ENOENT") return false;
        throw error;
      }
      if ((await versionAt(fileSystem, taken, name)) === version) {
        await fileSystem.rm(taken, { force: true });
        return true;
      }
      await giveBack(fileSystem, taken, path, name);
      return false;
    },
    options,
  );
}

async function giveBack(fileSystem: LocalFileSystem, taken: string, path: string, name: string): Promise<void> {
  const end = await linkWhereAbsent(fileSystem, taken, path);
  if (end === "unknown" && (await versionAt(fileSystem, path, name)) === undefined) {
    await fileSystem.rename(taken, path);
  } else {
    await fileSystem.rm(taken, { force: true });
  }
}

async function versionAt(fileSystem: LocalFileSystem, path: string, name: string): Promise<string | undefined> {
  const file = await openObjectFile(fileSystem, path, name);
  await file?.handle.close();
  return file?.facts.version;
}
