import type { ProblemLog } from "../problem-log.ts";
import { suggest } from "../suggestion.ts";
import { describeKind, isNull, isString } from "../yaml/nodes.ts";
import type { ConfigNode, ListNode, MapNode, ScalarNode } from "../yaml/nodes.ts";

/** Where the readers below report to, and in whose name. */
export interface ReadContext {
  readonly log: ProblemLog;
  /** For example `job build`. */
  readonly subject: string;
}

/** Reports a value of the wrong type. */
export function wrongType(context: ReadContext, node: ConfigNode, keyword: string, expected: string): undefined {
  const quotes = node.kind === "scalar" && !isString(node) && node.value !== null && expected.includes("string");
  const cure = quotes ? `; write "${node.text}" in quotes` : "";
  context.log.error(
    node.place,
    "wrong-type",
    context.subject,
    `${keyword} must be ${expected}, not ${describeKind(node)}${cure}`,
  );
  return undefined;
}

/** Reports a value that has the right type but is not allowed. */
export function invalid(context: ReadContext, node: ConfigNode, message: string): undefined {
  context.log.error(node.place, "invalid-value", context.subject, message);
  return undefined;
}

export function unsupported(context: ReadContext, node: ConfigNode, message: string): void {
  context.log.warning(node.place, "unsupported", context.subject, message);
}

export function readString(context: ReadContext, node: ConfigNode, keyword: string): string | undefined {
  return isString(node) ? node.value : wrongType(context, node, keyword, "a string");
}

export function readBoolean(context: ReadContext, node: ConfigNode, keyword: string): boolean | undefined {
  if (node.kind === "scalar" && typeof node.value === "boolean") return node.value;
  return wrongType(context, node, keyword, "true or false");
}

export function readInteger(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  min: number,
  max: number,
): number | undefined {
  const value = node.kind === "scalar" ? node.value : undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  return wrongType(context, node, keyword, `a whole number from ${min} to ${max}`);
}

export function readChoice<Choice extends string>(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  choices: readonly Choice[],
): Choice | undefined {
  const value = readString(context, node, keyword);
  if (value === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === value);
  return (
    choice ??
    invalid(context, node, `${keyword} is ${value}; it must be one of ${choices.join(", ")}${suggest(value, choices)}`)
  );
}

/** A list of strings; a single string counts as a list of one. */
export function readOneOrMore(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  return isString(node) ? [node.value] : readStrings(context, node, keyword);
}

export function readStrings(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  const list = readList(context, node, keyword, "a list of strings");
  if (list === undefined) return undefined;
  return list.items.flatMap((item) => readString(context, item, `each item of ${keyword}`) ?? []);
}

export function readList(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  expected: string,
): ListNode | undefined {
  return node.kind === "list" ? node : wrongType(context, node, keyword, expected);
}

const MAX_FLATTEN_DEPTH = 10;

/** The items of a list whose items may be lists themselves, as `!reference` makes them. */
export function flattenList(context: ReadContext, node: ConfigNode, keyword: string, depth = 0): readonly ConfigNode[] {
  if (node.kind !== "list") return [node];
  if (depth > MAX_FLATTEN_DEPTH) {
    invalid(context, node, `${keyword} is nested more than ${MAX_FLATTEN_DEPTH} levels deep; flatten the list`);
    return [];
  }
  return node.items.flatMap((item) => flattenList(context, item, keyword, depth + 1));
}

/** Commands of a script; undefined when something is wrong with them. */
export function readScript(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  if (node.kind !== "list" && !isString(node))
    return wrongType(context, node, keyword, "a string or a list of strings");
  const commands: string[] = [];
  for (const item of flattenList(context, node, keyword)) {
    if (isString(item)) commands.push(item.value);
    else if (item.kind === "map") {
      const [key = ""] = item.entries.keys();
      const cure = `put the whole command in quotes, since "${key}: " makes it a mapping`;
      context.log.error(item.place, "wrong-type", context.subject, `a command of ${keyword} is a mapping; ${cure}`);
    } else if (!isNull(item)) wrongType(context, item, `each command of ${keyword}`, "a string");
  }
  return commands;
}

/** A mapping; keys that nobody reads are named in a warning. */
export function readMap(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  known: readonly string[],
  unsupportedKeys: readonly string[] = [],
): MapNode | undefined {
  if (node.kind !== "map") return wrongType(context, node, keyword, "a mapping");
  warnAboutKeys(context, node, `${keyword}:`, known, unsupportedKeys);
  return node;
}

export function warnAboutKeys(
  context: ReadContext,
  map: MapNode,
  prefix: string,
  known: readonly string[],
  unsupportedKeys: readonly string[],
): void {
  for (const [key, entry] of map.entries) {
    if (known.includes(key)) continue;
    const place = entry.keyPlace;
    if (unsupportedKeys.includes(key)) {
      context.log.warning(place, "unsupported", context.subject, `${prefix}${key} is not supported and has no effect`);
    } else {
      const hint = suggest(key, [...known, ...unsupportedKeys]);
      context.log.warning(
        place,
        "unknown-keyword",
        context.subject,
        `${prefix}${key} is not a known keyword and has no effect${hint}`,
      );
    }
  }
}

/** Text of a variable's value; booleans are refused, as the coordinator does. */
export function isVariableScalar(node: ConfigNode): node is ScalarNode {
  return node.kind === "scalar" && typeof node.value !== "boolean";
}
