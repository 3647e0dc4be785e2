import type { PipelineVariable } from "./pipeline.ts";

/**
 * Replaces `$NAME`, `${NAME}` and `%NAME%` the way the coordinator does for names, paths and globs.
 *
 * A variable that is not defined becomes nothing; `$$` and `%%` stay as they are (the runner turns them into one sign later).
 *
 * @param variables - values are inserted as they are, not expanded again
 * @see https://docs.gitlab.com/ci/variables/where_variables_can_be_used/#gitlab-internal-variable-expansion-mechanism
 */
export function expandVariables(text: string, variables: Readonly<Record<string, string>>): string {
  return expandWith(text, (name) => (Object.hasOwn(variables, name) ? variables[name] : undefined));
}

/** {@link expandVariables} with a function for the values. */
export function expandWith(text: string, lookup: (name: string) => string | undefined): string {
  if (!text.includes("$") && !text.includes("%")) return text;
  return text.replace(REFERENCE, (whole: string, ...groups: (string | undefined)[]) => {
    const name = groups[0] ?? groups[1] ?? groups[2];
    return name === undefined ? whole : (lookup(name) ?? "");
  });
}

const REFERENCE = /\$\$|%%|\$([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|%([A-Za-z_][A-Za-z0-9_]*)%/g;

/** The variables that conditions, names and globs see. */
export class VariableView {
  readonly #defined = new Map<string, PipelineVariable>();
  readonly #given: Readonly<Record<string, string>>;
  readonly #values = new Map<string, string>();
  readonly #open = new Set<string>();

  /**
   * @param given - predefined variables and those of the caller; they win over the file's and are not expanded
   * @param defined - variables of the file; later ones win
   */
  constructor(given: Readonly<Record<string, string>>, defined: readonly PipelineVariable[]) {
    this.#given = given;
    for (const variable of defined) this.#defined.set(variable.key, variable);
  }

  /** The expanded value, undefined when there is no such variable. */
  get(name: string): string | undefined {
    if (Object.hasOwn(this.#given, name)) return this.#given[name];
    const variable = this.#defined.get(name);
    if (variable === undefined || variable.raw) return variable?.value;
    const known = this.#values.get(name);
    if (known !== undefined) return known;
    // Variables that refer to each other in a circle stay unexpanded.
    if (this.#open.has(name)) return variable.value;
    this.#open.add(name);
    const value = expandWith(variable.value, (inner) => this.get(inner));
    this.#open.delete(name);
    if (this.#open.size === 0) this.#values.set(name, value);
    return value;
  }

  expand(text: string): string {
    return expandWith(text, (name) => this.get(name));
  }
}

/** Later variables replace earlier ones of the same name, and take their place in the order. */
export function mergeVariables(...lists: readonly (readonly PipelineVariable[])[]): readonly PipelineVariable[] {
  const merged = new Map<string, PipelineVariable>();
  for (const list of lists) for (const variable of list) merged.set(variable.key, variable);
  return [...merged.values()];
}
