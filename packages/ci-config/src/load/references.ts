import type { ProblemLog } from "../problem-log.ts";
import type { ConfigNode, MapEntry, MapNode, ReferenceNode } from "../yaml/nodes.ts";

/**
 * Replaces every `!reference [job, keyword, ...]` by the value that it names.
 *
 * @see https://docs.gitlab.com/ci/yaml/yaml_optimization/#reference-tags
 */
export function resolveReferences(root: MapNode, log: ProblemLog): MapNode {
  const resolver = new ReferenceResolver(root, log);
  return resolver.resolve(root, []) as MapNode;
}

const MAX_DEPTH = 10;

class ReferenceResolver {
  readonly #root: MapNode;
  readonly #log: ProblemLog;
  readonly #done = new Map<ConfigNode, ConfigNode>();

  constructor(root: MapNode, log: ProblemLog) {
    this.#root = root;
    this.#log = log;
  }

  /** Returns the same node when nothing below it is a reference. */
  resolve(node: ConfigNode, chain: readonly string[]): ConfigNode {
    if (node.kind === "scalar") return node;
    const done = this.#done.get(node);
    if (done !== undefined) return done;
    const result = this.#resolveNow(node, chain);
    // A node met below a reference may have been cut by that chain's limits, which say nothing about other chains.
    if (chain.length === 0) this.#done.set(node, result);
    return result;
  }

  #resolveNow(node: ConfigNode, chain: readonly string[]): ConfigNode {
    if (node.kind === "reference") return this.#reference(node, chain);
    if (node.kind === "list") {
      const items = node.items.map((item) => this.resolve(item, chain));
      return items.every((item, index) => item === node.items[index]) ? node : { ...node, items };
    }
    if (node.kind === "map") return this.#map(node, chain);
    return node;
  }

  #map(node: MapNode, chain: readonly string[]): MapNode {
    let changed = false;
    const entries = new Map<string, MapEntry>();
    for (const [key, entry] of node.entries) {
      const value = this.resolve(entry.node, chain);
      changed ||= value !== entry.node;
      entries.set(key, value === entry.node ? entry : { ...entry, node: value });
    }
    return changed ? { ...node, entries } : node;
  }

  #reference(node: ReferenceNode, chain: readonly string[]): ConfigNode {
    const shown = `!reference [${node.path.join(", ")}]`;
    const nothing: ConfigNode = { kind: "scalar", value: null, text: "", place: node.place };
    const here = node.path.join("\0");
    if (chain.includes(here)) {
      this.#log.error(
        node.place,
        "reference-cycle",
        "",
        `${shown} refers to itself; remove the reference that closes the circle`,
      );
      return nothing;
    }
    if (chain.length >= MAX_DEPTH) {
      this.#log.error(
        node.place,
        "reference",
        "",
        `${shown} is nested more than ${MAX_DEPTH} levels deep; refer to the last job directly`,
      );
      return nothing;
    }
    let target: ConfigNode | undefined = this.#root;
    for (const key of node.path) {
      target = target?.kind === "map" ? target.entries.get(key)?.node : undefined;
    }
    if (target === undefined || node.path.length === 0) {
      this.#log.error(
        node.place,
        "unknown-reference",
        "",
        `${shown} names nothing; the first word is a job, the next ones its keywords`,
      );
      return nothing;
    }
    return this.resolve(target, [...chain, here]);
  }
}
