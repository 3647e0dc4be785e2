import type { Expression } from "../expression/expression.ts";
import type { VariableView } from "../variables.ts";
import { compileGlob } from "./glob.ts";

/** What is known about the commit when conditions are decided. */
export interface DecisionFacts {
  readonly variables: VariableView;
  /** Undefined when there is nothing to compare with: every `changes` holds then. */
  readonly changedFiles: readonly string[] | undefined;
  /** Tracked files; undefined when they cannot be listed: every `exists` fails then. */
  readonly files: readonly string[] | undefined;
}

/** The part of a rule that decides whether it applies; all conditions that are there must hold. */
export interface Conditions {
  readonly expression: Expression | undefined;
  readonly changes: readonly string[] | undefined;
  readonly exists: readonly string[] | undefined;
}

export function conditionsHold(conditions: Conditions, facts: DecisionFacts): boolean {
  const { expression, changes, exists } = conditions;
  if (expression !== undefined && !expression.isTrue((name) => facts.variables.get(name))) return false;
  if (changes !== undefined && facts.changedFiles !== undefined && !anyMatches(changes, facts.changedFiles, facts))
    return false;
  return exists === undefined || anyMatches(exists, facts.files ?? [], facts);
}

/** @see https://docs.gitlab.com/ci/yaml/#ruleschanges - variables in globs are expanded */
export function anyMatches(globs: readonly string[], paths: readonly string[], facts: DecisionFacts): boolean {
  return globs.some((glob) => {
    const expanded = facts.variables.expand(glob);
    if (!/[*?[{\\]/.test(expanded)) return paths.includes(expanded);
    return paths.some(compileGlob(expanded));
  });
}
