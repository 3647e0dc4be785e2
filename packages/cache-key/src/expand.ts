/** Gives the value of a variable; `undefined` when there is none. */
export type VariableLookup = (name: string) => string | undefined;

/** One variable of a job, as far as keys depend on it. */
export interface KeyVariable {
  readonly key: string;
  readonly value: string;
  /** The value lies in a file, and references yield the path of that file. @default false */
  readonly file?: boolean | undefined;
  /** References inside the value stay as they are. @default false */
  readonly raw?: boolean | undefined;
}

/** Variables that are ready for the expansion of keys. */
export interface PreparedVariables {
  /** What a reference to the variable yields; for a file variable the path. */
  readonly lookup: VariableLookup;
  /** The variable's own value, for a file variable too. */
  readonly lookupContent: VariableLookup;
}

/**
 * Replaces `$NAME` and `${NAME}` by values. Not a shell: there are no defaults and no substrings, so `${A:-b}` is the
 * variable of that odd name. `$$` gives one `$`; a variable that is not there gives nothing; `$` before anything that cannot
 * be a name stays. Of a malformed `${}` or `${A` only the braces go. What a value brings along is not expanded again.
 *
 * @see https://pkg.go.dev/os#Expand
 */
export function expandReferences(text: string, lookup: VariableLookup): string {
  return text.replaceAll(reference, (_, braced: string | undefined, bare: string | undefined) => {
    const name = braced ?? bare;
    if (name === undefined || name === "") return "";
    if (name === "$") return "$";
    return isSpecial(name) ? "" : (lookup(name) ?? "");
  });
}

/**
 * Prepares variables as a runner does: each value that is not raw is expanded once against the unexpanded list, where the
 * last definition of a name wins. `A=x`, `F=$A`, `G=$F` make `G` the two characters `$A`.
 *
 * @param variables - in order of precedence, the strongest last
 * @param filePath - where the file of a file variable lies
 */
export function prepareVariables(
  variables: readonly KeyVariable[],
  filePath: (name: string) => string = (name) => name,
): PreparedVariables {
  const last = new Map(variables.map((variable) => [variable.key, variable]));
  const unprepared: VariableLookup = (name) => {
    const variable = last.get(name);
    return variable?.file === true ? filePath(name) : variable?.value;
  };
  const contents = new Map<string, string>();
  for (const [name, variable] of last) {
    contents.set(name, variable.raw === true ? variable.value : expandReferences(variable.value, unprepared));
  }
  return {
    lookup: (name) => (last.get(name)?.file === true ? filePath(name) : contents.get(name)),
    lookupContent: (name) => contents.get(name),
  };
}

/** `${NAME}`, then the unclosed `${`, of which nothing stays, then `$` and a special character or a name. */
const reference = /\$(?:\{([^}]*)\}|\{|([*#$@!?\-0-9]|[A-Za-z_][A-Za-z0-9_]*))/g;

/** The shell's own parameters, which have no value outside a shell. */
function isSpecial(name: string): boolean {
  return /^[*#@!?\-0-9]$/.test(name);
}
