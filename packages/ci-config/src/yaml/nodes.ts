import type { SourceFile } from "./source-file.ts";

/** Where something stands; the line is only computed when it is needed. */
export interface Place {
  readonly source: SourceFile;
  readonly offset: number;
}

/** A value of the configuration. Nodes are never changed, so aliases and merges share them. */
export type ConfigNode = ScalarNode | ListNode | MapNode | ReferenceNode;

export interface ScalarNode {
  readonly kind: "scalar";
  readonly value: string | number | boolean | null;
  /** The value as the coordinator prints it: `1.10` is `1.1`, `0755` is `493`. */
  readonly text: string;
  readonly place: Place;
}

export interface ListNode {
  readonly kind: "list";
  readonly items: readonly ConfigNode[];
  readonly place: Place;
}

export interface MapNode {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly place: Place;
}

export interface MapEntry {
  readonly keyPlace: Place;
  readonly node: ConfigNode;
}

/** `!reference [job, keyword]`, not yet looked up. */
export interface ReferenceNode {
  readonly kind: "reference";
  readonly path: readonly string[];
  readonly place: Place;
}

/** The value of a key; an explicit null counts as absent, as it does for the coordinator. */
export function valueOf(map: MapNode, key: string): ConfigNode | undefined {
  const node = map.entries.get(key)?.node;
  return node === undefined || isNull(node) ? undefined : node;
}

export function isNull(node: ConfigNode): boolean {
  return node.kind === "scalar" && node.value === null;
}

export function isString(node: ConfigNode): node is ScalarNode & { readonly value: string } {
  return node.kind === "scalar" && typeof node.value === "string";
}

/** Maps are merged key by key, everything else is replaced. The position is that of the upper one. */
function deepMerge(lower: ConfigNode, upper: ConfigNode): ConfigNode {
  if (lower.kind !== "map" || upper.kind !== "map") return upper;
  return deepMergeMaps(lower, upper);
}

export function deepMergeMaps(lower: MapNode, upper: MapNode): MapNode {
  const entries = new Map(lower.entries);
  for (const [key, entry] of upper.entries) {
    const below = entries.get(key);
    entries.set(key, below === undefined ? entry : { ...entry, node: deepMerge(below.node, entry.node) });
  }
  return { kind: "map", entries, place: upper.place };
}

export function withoutKey(map: MapNode, key: string): MapNode {
  if (!map.entries.has(key)) return map;
  const entries = new Map(map.entries);
  entries.delete(key);
  return { ...map, entries };
}

/** What a user calls this kind of value. */
export function describeKind(node: ConfigNode): string {
  if (node.kind === "list") return "a list";
  if (node.kind === "map") return "a mapping";
  if (node.kind === "reference") return "a !reference";
  if (node.value === null) return "empty";
  if (typeof node.value === "string") return "a string";
  return typeof node.value === "number" ? `the number ${node.text}` : `the boolean ${node.text}`;
}
