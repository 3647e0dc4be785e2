import { join } from "node:path";

import type { PreparedJob } from "../job-context.ts";
import { ENVIRONMENT_FILE, readEnvironmentFile } from "../variables/environment-file.ts";

/** The environment that a script of the job would see now, for the names in paths and artifacts. */
export async function stageEnvironment({ variables, environment }: PreparedJob): Promise<Record<string, string>> {
  const { temporary } = environment.workspace.directories;
  const added = await readEnvironmentFile(join(temporary, ENVIRONMENT_FILE));
  return Object.fromEntries([...variables.exported, ...added]);
}
