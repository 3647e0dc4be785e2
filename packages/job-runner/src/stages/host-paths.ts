import type { PreparedJob } from "../job-context.ts";

/**
 * Rewrites a text that begins with one of the job's directories as scripts see it: what remains names the same place on this
 * host. Any other text stays as it is.
 */
export function toHostPath({ plan, environment }: Pick<PreparedJob, "environment" | "plan">, text: string): string {
  const { directories } = environment.workspace;
  // The temporary directory first: its path begins like the project's.
  for (const name of ["temporary", "project", "builds"] as const) {
    const place = plan.directories[name];
    if (text === place || text.startsWith(`${place}/`)) return directories[name] + text.slice(place.length);
  }
  return text;
}

/** The same for the paths of caches and artifacts, whatever else belongs to them. */
export function withHostPaths<
  Entry extends { readonly paths?: readonly string[]; readonly exclude?: readonly string[] },
>(job: Pick<PreparedJob, "environment" | "plan">, entries: readonly Entry[]): Entry[] {
  const rewrite = (paths: readonly string[]): string[] => paths.map((path) => toHostPath(job, path));
  return entries.map((entry) => ({
    ...entry,
    ...(entry.paths === undefined ? {} : { paths: rewrite(entry.paths) }),
    ...(entry.exclude === undefined ? {} : { exclude: rewrite(entry.exclude) }),
  }));
}
