import { TomlDate } from "smol-toml";
import type { ConfigProblem } from "./config.ts";
import { parseDurationMs } from "./duration.ts";

type Table = Readonly<Record<string, unknown>>;

/** Reads one TOML table; keys match in any case. Remembers what was read, so that the rest can be named. */
export class TableReader {
  readonly path: string;
  readonly #values = new Map<string, { readonly key: string; readonly value: unknown }>();
  readonly #read = new Set<string>();
  readonly #children: TableReader[] = [];
  readonly #problems: ConfigProblem[];

  constructor(table: Table, path: string, problems: ConfigProblem[]) {
    this.path = path;
    this.#problems = problems;
    for (const [key, value] of Object.entries(table)) {
      const name = key.toLowerCase();
      const earlier = this.#values.get(name);
      this.#values.set(name, { key, value });
      if (earlier !== undefined) {
        this.problem(
          key,
          "warning",
          "duplicate-key",
          `${key} and ${earlier.key} are the same key; only ${key} counts, so remove the other`,
        );
      }
    }
  }

  string(key: string): string | undefined {
    return this.#get(key, "a string", (value) => (typeof value === "string" ? value : undefined));
  }

  boolean(key: string): boolean | undefined {
    return this.#get(key, "true or false", (value) => (typeof value === "boolean" ? value : undefined));
  }

  integer(key: string): number | undefined {
    return this.#get(key, "a whole number", (value) => (typeof value === "bigint" ? Number(value) : undefined));
  }

  strings(key: string): readonly string[] | undefined {
    return this.#get(key, "a list of strings", (value) => (isStrings(value) ? value : undefined));
  }

  /** One string may be written without the brackets of a list. */
  stringOrStrings(key: string): readonly string[] | undefined {
    return this.#get(key, "a string or a list of strings", (value) =>
      typeof value === "string" ? [value] : isStrings(value) ? value : undefined,
    );
  }

  /** A table of texts; numbers and booleans are taken as they are written. */
  texts(key: string): Readonly<Record<string, string>> | undefined {
    return this.#get(key, "a table of strings", (value) => {
      if (!isTable(value) || !Object.values(value).every(isScalar)) return undefined;
      return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, String(text)]));
    });
  }

  /** A table of lists of strings. */
  lists(key: string): Readonly<Record<string, readonly string[]>> | undefined {
    return this.#get(key, "a table of lists of strings", (value) =>
      isTable(value) && Object.values(value).every(isStrings)
        ? (value as Readonly<Record<string, readonly string[]>>)
        : undefined,
    );
  }

  /** Milliseconds. */
  duration(key: string): number | undefined {
    return this.#get(key, 'a duration such as "30m"', (value) =>
      typeof value === "string" ? parseDurationMs(value) : undefined,
    );
  }

  /** RFC 3339, whole seconds; undefined also for the year 1, which stands for no time. */
  time(key: string): string | undefined {
    const time = this.#get(key, "a time such as 2030-01-02T03:04:05Z", (value) => {
      if (typeof value !== "string" && !(value instanceof TomlDate)) return undefined;
      const date = new Date(value);
      return Number.isNaN(date.getTime()) ? undefined : date;
    });
    if (time === undefined || time.getUTCFullYear() <= 1) return undefined;
    return time.toISOString().replace(/\.\d+Z$/, "Z");
  }

  choice<Choice extends string>(key: string, choices: readonly Choice[]): Choice | undefined {
    const expected = `one of ${choices.join(", ")}`;
    return this.#get(key, expected, (value) =>
      choices.find((choice) => typeof value === "string" && choice === value.toLowerCase()),
    );
  }

  table(key: string): TableReader | undefined {
    const table = this.#get(key, "a table", (value) => (isTable(value) ? value : undefined));
    return table === undefined ? undefined : this.#child(table, this.pathOf(key));
  }

  tables(key: string): readonly TableReader[] {
    const tables = this.#get(key, `a list of tables, written [[${key}]]`, (value) =>
      Array.isArray(value) && value.every(isTable) ? value : undefined,
    );
    return (tables ?? []).map((table, index) => this.#child(table, `${this.pathOf(key)}[${index}]`));
  }

  /** All entries that are true or false. */
  flags(): Readonly<Record<string, boolean>> {
    const flags = [...this.#values.values()].flatMap(({ key }) => {
      const value = this.boolean(key);
      return value === undefined ? [] : [[key, value] as const];
    });
    return Object.fromEntries(flags);
  }

  /** Keys that nobody asked for, here and below. */
  unread(): readonly { readonly path: string; readonly key: string }[] {
    const own = [...this.#values]
      .filter(([name]) => !this.#read.has(name))
      .map(([, { key }]) => ({ path: this.pathOf(key), key }));
    return [...own, ...this.#children.flatMap((child) => child.unread())];
  }

  problem(key: string, severity: ConfigProblem["severity"], code: string, message: string): void {
    this.#problems.push({ path: this.pathOf(key), severity, code, message });
  }

  /** In the spelling of the file. */
  pathOf(key: string): string {
    const written = this.#values.get(key.toLowerCase())?.key ?? key;
    const name = /^[\w-]+$/.test(written) ? written : JSON.stringify(written);
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  #get<Value>(key: string, expected: string, read: (value: unknown) => Value | undefined): Value | undefined {
    const name = key.toLowerCase();
    const entry = this.#values.get(name);
    if (entry === undefined) return undefined;
    this.#read.add(name);
    const value = read(entry.value);
    // The value itself may be a token in the wrong place, so only its kind is named.
    if (value === undefined)
      this.problem(key, "error", "wrong-type", `must be ${expected}, not ${kindOf(entry.value)}`);
    return value;
  }

  #child(table: Table, path: string): TableReader {
    const child = new TableReader(table, path, this.#problems);
    this.#children.push(child);
    return child;
  }
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "bigint" || typeof value === "boolean";
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof TomlDate);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof TomlDate) return "a time";
  if (isTable(value)) return "a table";
  if (typeof value === "string") return "this string";
  return typeof value === "boolean" ? String(value) : `the number ${String(value)}`;
}
