export interface ExpandedText {
  readonly text: string;
  /** Names that the environment does not have; they became nothing. */
  readonly missing: readonly string[];
}

/** Replaces `$NAME` and `${NAME}`. */
export function expandEnvironment(text: string, environment: Readonly<Record<string, string>>): ExpandedText {
  const missing: string[] = [];
  const expanded = text.replace(/\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})/g, (_, plain?: string, braced?: string) => {
    const name = plain ?? braced ?? "";
    if (Object.hasOwn(environment, name)) return environment[name] ?? "";
    missing.push(name);
    return "";
  });
  return { text: expanded, missing };
}
