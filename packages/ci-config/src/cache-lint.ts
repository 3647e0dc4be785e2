import type { PlacedCacheEntry } from "./keywords/cache.ts";
import type { JobInstance } from "./job-instances.ts";
import type { ProblemLog } from "./problem-log.ts";
import { expandWith } from "./variables.ts";
import type { VariableView } from "./variables.ts";

/**
 * Warns when two entries have one key but different paths: each save replaces the archive that the other one wrote.
 *
 * Entries that only pull write nothing and are not compared.
 */
export function lintCaches(
  instances: readonly JobInstance[],
  viewOf: (instance: JobInstance) => VariableView,
  log: ProblemLog,
): void {
  const groups = new Map<string, Map<string, Writer>>();
  for (const instance of instances) {
    for (const [index, placed] of instance.definition.cache.entries()) {
      if (placed.entry.policy === "pull") continue;
      const identity = keyIdentity(placed, index, instance, viewOf(instance));
      const content = JSON.stringify([[...new Set(placed.entry.paths)].sort(), placed.entry.untracked]);
      const group = groups.get(identity) ?? new Map<string, Writer>();
      groups.set(identity, group);
      if (!group.has(content)) group.set(content, { placed, index, job: instance.definition.name });
    }
  }
  for (const group of groups.values()) if (group.size > 1) report([...group.values()], log);
}

interface Writer {
  readonly placed: PlacedCacheEntry;
  readonly index: number;
  readonly job: string;
}

function report(writers: readonly Writer[], log: ProblemLog): void {
  const [first, ...others] = writers;
  if (first === undefined) return;
  const { key } = first.placed.entry;
  const shownKey = key.kind === "text" ? key.text : `${key.kind}: ${key.files.join(", ")}`;
  const names = writers.map((writer) => {
    const { place, entry } = writer.placed;
    return `entry ${writer.index + 1} of job ${writer.job} (line ${place.source.lineAt(place.offset)}, paths ${entry.paths.join(", ") || "none"})`;
  });
  const text = `the cache key ${shownKey} is used with different paths by ${names.join(" and ")}: each save replaces the other's archive; use different keys`;
  log.warning((others[0] ?? first).placed.place, "cache-paths-differ", "", text);
}

/** Equal for two entries when, as far as can be known before the jobs run, their keys are equal. */
function keyIdentity(placed: PlacedCacheEntry, index: number, instance: JobInstance, view: VariableView): string {
  const { key, unprotect } = placed.entry;
  const own: Readonly<Record<string, string>> = {
    CI_JOB_NAME: instance.name,
    // A slug differs where names differ; its exact form does not matter here.
    CI_JOB_NAME_SLUG: instance.name,
    CI_JOB_ID: instance.name,
    CI_JOB_STAGE: instance.definition.stage,
    CI_JOB_IMAGE: instance.definition.image?.name ?? "",
    CI_NODE_INDEX: String(instance.parallel?.index ?? ""),
    CI_NODE_TOTAL: String(instance.parallel?.total ?? 1),
    CI_ENVIRONMENT_NAME: instance.definition.environment?.name ?? "",
  };
  const expand = (text: string): string =>
    expandWith(text, (name) => (Object.hasOwn(own, name) ? own[name] : (view.get(name) ?? `\${${name}}`)));
  if (key.kind === "text") return JSON.stringify(["text", expand(key.text), unprotect]);
  const prefix = key.prefix === undefined ? index : expand(key.prefix);
  return JSON.stringify([key.kind, [...key.files].sort(), prefix, unprotect]);
}
