import type { CacheEntry, CacheKeySource } from "../pipeline.ts";
import { valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode, Place } from "../yaml/nodes.ts";
import { invalid, readBoolean, readChoice, readMap, readString, readStrings, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";

/** A cache entry and where it stands, for messages about two of them. */
export interface PlacedCacheEntry {
  readonly entry: CacheEntry;
  readonly place: Place;
}

/** @see https://docs.gitlab.com/ci/yaml/#cache */
export function readCaches(context: ReadContext, node: ConfigNode): readonly PlacedCacheEntry[] {
  if (node.kind !== "list") return readCache(context, node, "cache");
  if (node.items.length > MAX_ENTRIES) {
    invalid(
      context,
      node,
      `cache has ${node.items.length} entries; at most ${MAX_ENTRIES} are allowed, so combine some of them`,
    );
  }
  return node.items.flatMap((item, index) => readCache(context, item, `cache[${index}]`));
}

const MAX_ENTRIES = 4;
const MAX_FALLBACK_KEYS = 5;
const MAX_KEY_FILES = 2;

function readCache(context: ReadContext, node: ConfigNode, keyword: string): readonly PlacedCacheEntry[] {
  const map = readMap(context, node, keyword, [
    "key",
    "untracked",
    "paths",
    "when",
    "policy",
    "unprotect",
    "fallback_keys",
  ]);
  if (map === undefined) return [];
  const get = <Value>(
    key: string,
    read: (context: ReadContext, node: ConfigNode, keyword: string) => Value | undefined,
  ): Value | undefined => {
    const value = valueOf(map, key);
    return value === undefined ? undefined : read(context, value, `${keyword}:${key}`);
  };
  const entry: CacheEntry = {
    key: get("key", readKey) ?? { kind: "text", text: "default" },
    paths: get("paths", readStrings) ?? [],
    untracked: get("untracked", readBoolean) ?? false,
    policy: get("policy", readPolicy) ?? "pull-push",
    when: get("when", (...read) => readChoice(...read, ["on_success", "on_failure", "always"])) ?? "on_success",
    fallbackKeys: get("fallback_keys", readFallbackKeys) ?? [],
    unprotect: get("unprotect", readBoolean) ?? false,
  };
  return [{ entry, place: node.place }];
}

function readKey(context: ReadContext, node: ConfigNode, keyword: string): CacheKeySource | undefined {
  if (node.kind === "map") return readFilesKey(context, node, keyword);
  if (node.kind === "list") return wrongType(context, node, keyword, "a string or a mapping with files");
  const text =
    node.kind === "scalar" && typeof node.value === "number" ? node.text : readString(context, node, keyword);
  if (text === undefined || !checkKeyText(context, node, keyword, text)) return undefined;
  return { kind: "text", text };
}

function readFilesKey(context: ReadContext, map: MapNode, keyword: string): CacheKeySource | undefined {
  readMap(context, map, keyword, ["files", "files_commits", "prefix"]);
  const [files, commits] = [valueOf(map, "files"), valueOf(map, "files_commits")];
  if ((files === undefined) === (commits === undefined)) {
    const found = files === undefined ? "neither" : "both";
    return invalid(context, map, `${keyword} must have either files or files_commits, and has ${found}`);
  }
  const kind = files === undefined ? "files_commits" : "files";
  const node = files ?? commits ?? map;
  const name = `${keyword}:${kind}`;
  const paths = readStrings(context, node, name);
  if (paths === undefined) return undefined;
  if (paths.length === 0 || paths.length > MAX_KEY_FILES) {
    return invalid(context, node, `${name} has ${paths.length} items; it must have 1 or ${MAX_KEY_FILES}`);
  }
  const prefixNode = valueOf(map, "prefix");
  const prefix = prefixNode === undefined ? undefined : readString(context, prefixNode, `${keyword}:prefix`);
  if (
    prefixNode !== undefined &&
    prefix !== undefined &&
    !checkKeyText(context, prefixNode, `${keyword}:prefix`, prefix)
  )
    return undefined;
  return { kind, files: paths.map((path) => path.replace(/^\/+/, "")), prefix };
}

/** The literal text is checked, decoded once; what variables expand to is cleaned later, by the runner. */
function checkKeyText(context: ReadContext, node: ConfigNode, keyword: string, text: string): boolean {
  const decoded = percentDecode(text);
  const shown = decoded === text ? "" : ` (${text} decodes to ${decoded})`;
  if (decoded.includes("/")) {
    invalid(context, node, `${keyword} cannot contain the "/" character${shown}; use "-" instead`);
    return false;
  }
  if (decoded === "." || decoded === "..") {
    invalid(context, node, `${keyword} cannot be "." or ".."${shown}; choose another name`);
    return false;
  }
  return true;
}

/** Form style: `+` is a space; sequences that are not valid stay. Bytes that are no UTF-8 cannot hide a slash or a dot. */
function percentDecode(text: string): string {
  return text
    .replaceAll("+", " ")
    .replace(/%([0-7][0-9a-fA-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The pattern is not anchored, so that for example `never-pull` is accepted here and fails in the runner. */
function readPolicy(context: ReadContext, node: ConfigNode, keyword: string): string | undefined {
  const policy = readString(context, node, keyword);
  if (policy === undefined || /pull-push|push|pull|\$\w+/.test(policy)) return policy;
  return invalid(context, node, `${keyword} is ${policy}; it must be pull-push, push, pull or a variable`);
}

function readFallbackKeys(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  const keys = readStrings(context, node, keyword);
  if (keys === undefined || keys.length <= MAX_FALLBACK_KEYS) return keys;
  return invalid(context, node, `${keyword} has ${keys.length} keys; at most ${MAX_FALLBACK_KEYS} are allowed`);
}
