import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { programFolders } from "./environment.ts";

/** Absolute path of a program in the program folders; undefined when there is none. */
export function findProgram(name: string): string | undefined {
  return programFolders()
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
