import type { JobVariable } from "@fleetfoot/coordinator-client";
import { expandReferences } from "@fleetfoot/cache-key";

/** The variables of a job, ready for use. */
export interface JobVariables {
  /** What a reference yields and what is exported; for a file variable the path of its file. */
  readonly lookup: (name: string) => string | undefined;
  /** The variable's own value, for a file variable too. */
  readonly lookupContent: (name: string) => string | undefined;
  /** Every variable once, as it is exported. */
  readonly exported: ReadonlyMap<string, string>;
  /** Contents of the files to write, by variable. */
  readonly files: ReadonlyMap<string, string>;
  /** Names of the variables that may be shown outside of the job. */
  readonly publicNames: ReadonlySet<string>;
  /** Values that the log must not show. */
  readonly maskedValues: readonly string[];
}

/**
 * Prepares variables: later ones win, and each value that is not raw is expanded once against the unexpanded list.
 *
 * `A=$B`, `B=$C` make `A` the two characters `$C`; scripts get it quoted, so the shell does not go on.
 *
 * @param variables - in order of precedence, the strongest last
 * @param filePath - where the file of a file variable lies, as scripts see it
 * @see job-execution 1.9
 */
export function prepareJobVariables(
  variables: readonly JobVariable[],
  filePath: (name: string) => string,
): JobVariables {
  const last = new Map(variables.map((variable) => [variable.key, variable]));
  const unprepared = (name: string): string | undefined => {
    const variable = last.get(name);
    return variable?.file === true ? filePath(name) : variable?.value;
  };
  const prepare = ({ raw, value }: JobVariable): string => (raw === true ? value : expandReferences(value, unprepared));
  // References insert the value as it was before it was expanded.
  const hiddenForms = (variable: JobVariable): readonly string[] =>
    variable.masked === true ? [prepare(variable), variable.value] : [];

  const contents = new Map<string, string>();
  const exported = new Map<string, string>();
  const files = new Map<string, string>();
  for (const [name, variable] of last) {
    const content = prepare(variable);
    contents.set(name, content);
    exported.set(name, variable.file === true ? filePath(name) : content);
    if (variable.file === true) files.set(name, content);
  }
  return {
    lookup: (name) => exported.get(name),
    lookupContent: (name) => contents.get(name),
    exported,
    files,
    publicNames: new Set([...last.values()].flatMap(({ key, public: shown }) => (shown === true ? [key] : []))),
    // An overridden definition is still a secret: another variable may have taken its value.
    maskedValues: [...new Set(variables.flatMap(hiddenForms))],
  };
}
