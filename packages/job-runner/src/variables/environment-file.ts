import { readPlainFile } from "../plain-files.ts";

/** Name, in the job's temporary directory, of the file behind `GITLAB_ENV`. */
export const ENVIRONMENT_FILE = "gitlab_runner_env";

/**
 * Reads what scripts have left in the file behind `GITLAB_ENV`, by the rules of the scripts themselves: one variable a line,
 * the last of a name counts, lines that are no assignment are passed over.
 *
 * @returns nothing when no script wrote the file, or put there what is none, such as a link, or one of more than a megabyte
 */
export async function readEnvironmentFile(path: string): Promise<ReadonlyMap<string, string>> {
  const text = await readPlainFile(path);
  return text === undefined ? new Map() : parseEnvironmentFile(text);
}

/** The pure half of {@link readEnvironmentFile}. */
export function parseEnvironmentFile(text: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(line) ?? [];
    if (name !== undefined && value !== undefined) variables.set(name, value);
  }
  return variables;
}
