import type { ProblemLog } from "../problem-log.ts";
import { suggest } from "../suggestion.ts";
import { deepMergeMaps, isString, valueOf, withoutKey } from "../yaml/nodes.ts";
import type { ConfigNode, MapEntry, MapNode, Place } from "../yaml/nodes.ts";

/**
 * Replaces `extends` in every top-level mapping by the merged content of its bases.
 *
 * @see https://docs.gitlab.com/ci/yaml/#extends - merge order and the limit of eleven levels
 */
export function resolveExtends(root: MapNode, log: ProblemLog): MapNode {
  const resolver = new ExtendsResolver(root, log);
  const entries = new Map<string, MapEntry>();
  for (const [name, entry] of root.entries) {
    const node =
      entry.node.kind === "map" && entry.node.entries.has("extends")
        ? resolver.resolve(name, entry.node, []).node
        : entry.node;
    entries.set(name, { ...entry, node });
  }
  return { ...root, entries };
}

const MAX_LEVELS = 11;

interface Extended {
  readonly node: MapNode;
  /** How many levels of `extends` are below. */
  readonly levels: number;
}

class ExtendsResolver {
  readonly #root: MapNode;
  readonly #log: ProblemLog;
  readonly #done = new Map<string, Extended>();

  constructor(root: MapNode, log: ProblemLog) {
    this.#root = root;
    this.#log = log;
  }

  resolve(name: string, node: MapNode, path: readonly string[]): Extended {
    const done = this.#done.get(name);
    if (done !== undefined) return done;
    const bases = valueOf(node, "extends");
    const own = withoutKey(node, "extends");
    if (bases === undefined) return { node: own, levels: 0 };
    const names = this.#baseNames(bases, name);
    let merged: MapNode | undefined;
    let levels = 0;
    for (const base of names) {
      const extended = this.#base(base.name, base.place, [...path, name]);
      if (extended === undefined) continue;
      levels = Math.max(levels, extended.levels + 1);
      merged = merged === undefined ? extended.node : deepMergeMaps(merged, extended.node);
    }
    if (levels === MAX_LEVELS + 1) {
      this.#log.error(
        bases.place,
        "extends",
        `job ${name}`,
        `extends is nested more than ${MAX_LEVELS} levels deep; merge some of the templates`,
      );
    }
    const result = { node: merged === undefined ? own : { ...deepMergeMaps(merged, own), place: node.place }, levels };
    this.#done.set(name, result);
    return result;
  }

  #base(base: string, place: Place, path: readonly string[]): Extended | undefined {
    const subject = `job ${path.at(-1) ?? ""}`;
    if (path.includes(base)) {
      const cycle = [...path.slice(path.indexOf(base)), base].join(" -> ");
      this.#log.error(place, "extends-cycle", "", `extends goes in a circle: ${cycle}; remove one of these`);
      return undefined;
    }
    const node = this.#root.entries.get(base)?.node;
    if (node === undefined) {
      const hint = suggest(base, this.#root.entries.keys());
      this.#log.error(
        place,
        "unknown-extends",
        subject,
        `extends ${base}, which is not defined${hint}; define it or correct the name`,
      );
      return undefined;
    }
    if (node.kind !== "map") {
      this.#log.error(
        place,
        "extends",
        subject,
        `extends ${base}, which is not a job; only jobs and hidden jobs can be extended`,
      );
      return undefined;
    }
    return this.resolve(base, node, path);
  }

  #baseNames(node: ConfigNode, job: string): { name: string; place: Place }[] {
    const items = node.kind === "list" ? node.items : [node];
    return items.flatMap((item) => {
      if (isString(item)) return [{ name: item.value, place: item.place }];
      this.#log.error(item.place, "wrong-type", `job ${job}`, "extends takes the name of a job or a list of names");
      return [];
    });
  }
}
