import { join } from "node:path";
import { repositoryFolder } from "./folders.ts";
import { requireOwnGoProgram } from "./go-program.ts";
import { reportSystem } from "./report.ts";

/**
 * Go's fastzip, called as GitLab Runner calls it: `fastzip create ARCHIVE DIRECTORY LEVEL` and `fastzip extract ARCHIVE
 * DIRECTORY`.
 *
 * @returns path of the program
 * @throws {SystemUnavailableError} Go is not there, or the build failed
 */
export async function requireFastzip(): Promise<string> {
  const source = join(repositoryFolder, "tooling/systems/reference-fastzip");
  const program = await requireOwnGoProgram("fastzip", source, "archives that both sides must read");
  reportSystem("fastzip", "v0.2.0");
  return program;
}
