import { join } from "node:path";

import { toHostPath } from "./host-paths.ts";
import type { PreparedJob } from "../job-context.ts";
import { ENVIRONMENT_FILE, readEnvironmentFile } from "../variables/environment-file.ts";

/** The environment that a script of the job would see now, with paths of this host, for the names in paths and artifacts. */
export async function stageEnvironment({ plan, variables, environment }: PreparedJob): Promise<Record<string, string>> {
  const { temporary } = environment.workspace.directories;
  const added = await readEnvironmentFile(join(temporary, ENVIRONMENT_FILE));
  const all = [...variables.exported, ...added];
  return Object.fromEntries(all.map(([name, value]) => [name, toHostPath({ plan, environment }, value)]));
}
