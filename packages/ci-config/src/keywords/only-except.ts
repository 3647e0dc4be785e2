import type { Expression } from "../expression/expression.ts";
import type { RegexEngine } from "../expression/regex.ts";
import { anyMatches } from "../load/conditions.ts";
import type { DecisionFacts } from "../load/conditions.ts";
import { isString, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode } from "../yaml/nodes.ts";
import { flattenList, invalid, readMap, readOneOrMore, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";
import { readCondition, readGlobs } from "./rules.ts";

/** One of `only` and `except`, the older way to choose jobs. */
export interface Policy {
  readonly refs: readonly string[] | undefined;
  readonly variables: readonly Expression[] | undefined;
  readonly changes: readonly string[] | undefined;
}

/** What applies to a job that has neither rules nor `only`. */
export const DEFAULT_ONLY: Policy = { refs: ["branches", "tags"], variables: undefined, changes: undefined };

/** @see https://docs.gitlab.com/ci/yaml/deprecated_keywords/#only--except */
export function readPolicy(
  context: ReadContext,
  node: ConfigNode,
  keyword: "only" | "except",
  engine: RegexEngine,
): Policy | undefined {
  if (node.kind !== "map")
    return { refs: readRefs(context, node, keyword, engine), variables: undefined, changes: undefined };
  readMap(context, node, keyword, ["refs", "variables", "changes"], ["kubernetes"]);
  const [refs, variables, changes] = [valueOf(node, "refs"), valueOf(node, "variables"), valueOf(node, "changes")];
  return {
    refs: refs === undefined ? undefined : readRefs(context, refs, `${keyword}:refs`, engine),
    variables:
      variables === undefined ? undefined : readExpressions(context, variables, `${keyword}:variables`, engine),
    changes: changes === undefined ? undefined : readGlobs(context, changes, `${keyword}:changes`),
  };
}

/** A job with `only` runs when everything that is named holds, and not when anything that `except` names holds. */
export function policiesAllow(
  only: Policy | undefined,
  except: Policy | undefined,
  facts: DecisionFacts,
  engine: RegexEngine,
): boolean {
  if (only !== undefined && !policyHolds(only, "every", facts, engine)) return false;
  return except === undefined || !policyHolds(except, "some", facts, engine);
}

function policyHolds(policy: Policy, how: "every" | "some", facts: DecisionFacts, engine: RegexEngine): boolean {
  const results: boolean[] = [];
  if (policy.refs !== undefined) results.push(policy.refs.some((ref) => refMatches(ref, facts, engine)));
  if (policy.variables !== undefined) {
    results.push(policy.variables.some((expression) => expression.isTrue((name) => facts.variables.get(name))));
  }
  if (policy.changes !== undefined) {
    results.push(facts.changedFiles === undefined || anyMatches(policy.changes, facts.changedFiles, facts));
  }
  return how === "every" ? results.every(Boolean) : results.some(Boolean);
}

function refMatches(pattern: string, facts: DecisionFacts, engine: RegexEngine): boolean {
  const get = (name: string): string | undefined => facts.variables.get(name);
  const [ref = "", project] = splitProject(pattern);
  if (project !== undefined && project !== get("CI_PROJECT_PATH")) return false;
  const source = get("CI_PIPELINE_SOURCE")?.replace(/_event$/, "");
  const isTag = isSet(get("CI_COMMIT_TAG"));
  const isBranch = isSet(get("CI_COMMIT_BRANCH"));
  if (ref === "tags" && isTag) return true;
  if (ref === "branches" && isBranch) return true;
  if (source !== undefined && (ref === source || ref === plural(source))) return true;
  if (!isTag && !isBranch) return false;
  const name = get("CI_COMMIT_REF_NAME") ?? get("CI_COMMIT_BRANCH") ?? get("CI_COMMIT_TAG") ?? "";
  return ref.startsWith("/") ? (engine.compile(ref)?.test(name) ?? false) : ref === name;
}

/** `name@group/project`; an `@` between slashes belongs to the pattern. */
function splitProject(pattern: string): readonly (string | undefined)[] {
  return /^(\/.*\/[imsU]*|[^/@][^@]*)(?:@(.+))?$/s.exec(pattern)?.slice(1) ?? [pattern];
}

function plural(source: string): string {
  return source.endsWith("sh") ? `${source}es` : `${source}s`;
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

function readRefs(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  engine: RegexEngine,
): readonly string[] | undefined {
  const refs = readOneOrMore(context, node, keyword);
  for (const ref of refs ?? []) {
    const pattern = splitProject(ref)[0] ?? ref;
    if (pattern.startsWith("/") && engine.compile(pattern) === undefined) {
      invalid(context, node, `${keyword}: ${ref} is not a valid RE2 regular expression between slashes`);
    }
  }
  return refs;
}

function readExpressions(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  engine: RegexEngine,
): readonly Expression[] | undefined {
  if (node.kind !== "list") return wrongType(context, node, keyword, "a list of conditions");
  return flattenList(context, node, keyword).flatMap((item) =>
    isString(item)
      ? (readCondition(context, item, keyword, engine) ?? [])
      : (wrongType(context, item, keyword, "a list of strings") ?? []),
  );
}
