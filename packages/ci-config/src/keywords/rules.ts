import { parseDuration } from "../duration.ts";
import { CiConfigError } from "../errors.ts";
import { parseExpression } from "../expression/expression.ts";
import type { Expression } from "../expression/expression.ts";
import type { RegexEngine } from "../expression/regex.ts";
import type { Conditions } from "../load/conditions.ts";
import type { PipelineJob, PipelineVariable } from "../pipeline.ts";
import { isString, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode } from "../yaml/nodes.ts";
import { readNeeds } from "./needs.ts";
import type { NeedDefinition } from "./needs.ts";
import {
  flattenList,
  invalid,
  readBoolean,
  readChoice,
  readMap,
  readString,
  readStrings,
  unsupported,
  wrongType,
} from "./read.ts";
import type { ReadContext } from "./read.ts";
import { readVariables } from "./variables.ts";

export interface Rule extends Conditions {
  readonly when: PipelineJob["when"] | "never" | undefined;
  readonly startInMs: number | undefined;
  readonly allowFailure: boolean | undefined;
  readonly variables: readonly PipelineVariable[];
  readonly needs: readonly NeedDefinition[] | undefined;
  readonly interruptible: boolean | undefined;
}

/** What rules may be used for: a job, the whole pipeline, or one include. */
export type RuleUse = "job" | "workflow" | "include";

/** @see https://docs.gitlab.com/ci/yaml/#rules */
export function readRules(context: ReadContext, node: ConfigNode, use: RuleUse, engine: RegexEngine): readonly Rule[] {
  if (node.kind !== "list") {
    wrongType(context, node, "rules", "a list of rules");
    return [];
  }
  return flattenList(context, node, "rules").flatMap((item) => readRule(context, item, use, engine) ?? []);
}

const KEYS: Readonly<Record<RuleUse, readonly string[]>> = {
  job: ["if", "changes", "exists", "when", "start_in", "allow_failure", "variables", "needs", "interruptible"],
  workflow: ["if", "changes", "exists", "when", "variables"],
  include: ["if", "changes", "exists", "when"],
};

const WHEN: Readonly<Record<RuleUse, readonly NonNullable<Rule["when"]>[]>> = {
  job: ["on_success", "on_failure", "always", "manual", "delayed", "never"],
  workflow: ["always", "never"],
  include: ["always", "never"],
};

function readRule(context: ReadContext, node: ConfigNode, use: RuleUse, engine: RegexEngine): Rule | undefined {
  const map = readMap(context, node, "rules", KEYS[use], ["auto_cancel"]);
  if (map === undefined) return undefined;
  const get = <Value>(
    key: string,
    read: (context: ReadContext, node: ConfigNode, keyword: string) => Value | undefined,
  ): Value | undefined => {
    const value = KEYS[use].includes(key) ? valueOf(map, key) : undefined;
    return value === undefined ? undefined : read(context, value, `rules:${key}`);
  };
  const when = get("when", (...read) => readChoice(...read, WHEN[use]));
  const startInMs = get("start_in", readStartIn);
  if (when === "delayed" && valueOf(map, "start_in") === undefined)
    invalid(context, map, "a rule with when: delayed needs start_in: DURATION");
  return {
    expression: get("if", (inner, value, keyword) => readCondition(inner, value, keyword, engine)),
    changes: get("changes", readChanges),
    exists: get("exists", readExists),
    when,
    startInMs,
    allowFailure: get("allow_failure", readBoolean),
    variables: get("variables", readVariables) ?? [],
    needs: get("needs", readNeeds),
    interruptible: get("interruptible", readBoolean),
  };
}

/** One condition, or undefined after an error that names the place and the cure. */
export function readCondition(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  engine: RegexEngine,
): Expression | undefined {
  const text = readString(context, node, keyword);
  if (text === undefined) return undefined;
  try {
    return parseExpression(text, engine);
  } catch (error) {
    if (!CiConfigError.isInstance(error)) throw error;
    context.log.error(node.place, "expression", context.subject, `${keyword} cannot be read: ${error.message}`);
    return undefined;
  }
}

const WEEK_SECONDS = 604_800;

/** Milliseconds of `start_in`. */
export function readStartIn(context: ReadContext, node: ConfigNode, keyword: string): number | undefined {
  const text =
    node.kind === "scalar" && typeof node.value === "number" ? node.text : readString(context, node, keyword);
  if (text === undefined) return undefined;
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds <= WEEK_SECONDS) return seconds * 1000;
  return invalid(context, node, `${keyword} is ${text}; it must be a duration of at most one week, such as 30 minutes`);
}

const MAX_GLOBS = 50;

function readChanges(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  if (node.kind !== "map") return readGlobs(context, node, keyword);
  readMap(context, node, keyword, ["paths", "compare_to"]);
  const base = valueOf(node, "compare_to");
  if (base !== undefined)
    unsupported(context, base, `${keyword}:compare_to is not supported; the changes that the caller knows decide`);
  return readPaths(context, node, keyword);
}

function readExists(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  if (node.kind !== "map") return readGlobs(context, node, keyword);
  readMap(context, node, keyword, ["paths"], ["project", "ref"]);
  return readPaths(context, node, keyword);
}

function readPaths(context: ReadContext, map: MapNode, keyword: string): readonly string[] | undefined {
  const paths = valueOf(map, "paths");
  if (paths === undefined) return invalid(context, map, `${keyword} has no paths; add paths: [...]`);
  return readGlobs(context, paths, `${keyword}:paths`);
}

export function readGlobs(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  if (node.kind !== "list") return readStrings(context, node, keyword);
  const items = flattenList(context, node, keyword);
  if (items.length > MAX_GLOBS)
    return invalid(context, node, `${keyword} has ${items.length} patterns; at most ${MAX_GLOBS} are allowed`);
  return items.flatMap((item) =>
    isString(item) ? item.value : (wrongType(context, item, `each item of ${keyword}`, "a string") ?? []),
  );
}
