/** One way in which a server wants to be convinced. */
export interface Challenge {
  /** Lower case, for example `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

/**
 * Reads `WWW-Authenticate`: several challenges in one header or in several, quoted values that may hold commas.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const lines = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return lines.flatMap(parseLine);
}

function parseLine(line: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
  const parameter = new RegExp(`[ \\t,]*(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`, "y");
  const scheme = new RegExp(`[ \\t,]*(${token})(?=[ \\t]|,|$)`, "y");
  for (let position = 0; position < line.length;) {
    parameter.lastIndex = position;
    const named = parameter.exec(line);
    const current = challenges.at(-1);
    if (named !== null && current !== undefined) {
      const [, name = "", quoted, plain = ""] = named;
      current.parameters[name.toLowerCase()] = quoted?.replaceAll(/\\(.)/g, "$1") ?? plain;
      position = parameter.lastIndex;
      continue;
    }
    scheme.lastIndex = position;
    const [, started] = scheme.exec(line) ?? [];
    // Whatever follows cannot be understood.
    if (started === undefined) break;
    challenges.push({ scheme: started.toLowerCase(), parameters: Object.create(null) as Record<string, string> });
    position = scheme.lastIndex;
  }
  return challenges;
}
