import { RE2JS } from "re2js";

/** Regular expressions over repository names that are searched in time linear in the name. */
export interface NamePatterns {
  /** Whether one of them is found in the name. */
  matches(name: string): boolean;
  readonly isEmpty: boolean;
}

/**
 * Compiles patterns with an engine without back-references and look-around, so that no configuration can make a search slow.
 *
 * @param where - names the setting in the problems
 * @param problems - one line is added for each pattern that the engine refuses
 */
export function compilePatterns(sources: readonly string[], where: string, problems: string[]): NamePatterns {
  const compiled = sources.flatMap((source) => {
    try {
      return [RE2JS.compile(source)];
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      problems.push(`${where}: ${JSON.stringify(source)} is no pattern of RE2: ${reason}`);
      return [];
    }
  });
  return {
    isEmpty: compiled.length === 0,
    matches: (name) => compiled.some((pattern) => pattern.matcher(name).find()),
  };
}
