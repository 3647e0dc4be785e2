import { parseToml } from "../toml.ts";
import { lineEnd, scanStatements } from "./scan.ts";
import type { Statement } from "./scan.ts";

/** The part of a text that belongs to one `[[runners]]` section, its sub-tables included. */
export interface RunnerSection {
  /** Start of the line of the first comment directly above the header. */
  readonly start: number;
  /** Where the next section starts. */
  readonly end: number;
  readonly header: Statement;
  /** Its own keys, without those of sub-tables. */
  readonly pairs: readonly Statement[];
}

/** Sections in the order of the file; undefined when runners are written in another way, such as one list of inline tables. */
export function findRunnerSections(text: string, key: string): readonly RunnerSection[] | undefined {
  const sections: { start: number; end: number; header: Statement; pairs: Statement[] }[] = [];
  let open: (typeof sections)[number] | undefined;
  let inOwnKeys = false;
  for (const statement of scanStatements(text)) {
    if (statement.kind === "pair") {
      if (inOwnKeys) open?.pairs.push(statement);
      continue;
    }
    const path = headerPath(statement.name);
    const isRunner = path.length === 1 && path[0] === key;
    if (path[0] === key && !isRunner) {
      if (open === undefined) return undefined;
      inOwnKeys = false;
      continue;
    }
    const start = startWithComments(text, statement.start);
    if (open !== undefined) open.end = start;
    open = isRunner ? { start, end: text.length, header: statement, pairs: [] } : undefined;
    inOwnKeys = isRunner;
    if (open !== undefined) sections.push(open);
  }
  return sections;
}

/** Start of the line, or of the comment lines directly above it. */
function startWithComments(text: string, offset: number): number {
  let start = text.lastIndexOf("\n", offset - 1) + 1;
  while (start > 0) {
    const above = text.lastIndexOf("\n", start - 2) + 1;
    if (!text.slice(above, lineEnd(text, above)).trimStart().startsWith("#")) break;
    start = above;
  }
  return start;
}

/** Names between the brackets; quoted ones may contain dots. */
function headerPath(header: string): readonly string[] {
  const { table } = parseToml(header);
  const path: string[] = [];
  let value: unknown = table;
  for (;;) {
    if (Array.isArray(value)) value = value[0];
    const [name] = typeof value === "object" && value !== null ? Object.keys(value) : [];
    if (name === undefined) return path;
    path.push(name);
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
}
