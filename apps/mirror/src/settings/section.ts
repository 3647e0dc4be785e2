import type { TagLifetime } from "@fleetfoot/registry-mirror";
import { parseDuration, parseSize } from "./units.ts";

/** One table of the settings file. What nobody asked for is a problem: it is most likely misspelt. */
export class Section {
  readonly values: Readonly<Record<string, unknown>>;
  readonly name: string;
  readonly #problems: string[];
  readonly #used = new Set<string>();

  constructor(values: Readonly<Record<string, unknown>>, name: string, problems: string[]) {
    this.values = values;
    this.name = name;
    this.#problems = problems;
  }

  text(key: string): string | undefined {
    return this.#read(key, "a text", (value) => (typeof value === "string" ? value : undefined));
  }

  flag(key: string): boolean | undefined {
    return this.#read(key, "true or false", (value) => (typeof value === "boolean" ? value : undefined));
  }

  texts(key: string): readonly string[] {
    const read = (value: unknown): readonly string[] | undefined => {
      const list: readonly unknown[] = Array.isArray(value) ? value : [value];
      return list.every((item) => typeof item === "string") ? list : undefined;
    };
    return this.#read(key, "a list of texts", read) ?? [];
  }

  numbers(key: string): readonly number[] | undefined {
    const read = (value: unknown): readonly number[] | undefined => {
      const list: readonly unknown[] = Array.isArray(value) ? value : [value];
      return list.every((item) => typeof item === "number") ? list : undefined;
    };
    return this.#read(key, "a list of numbers", read);
  }

  size(key: string): number | undefined {
    return this.#read(key, "a size such as 50GB", (value) =>
      typeof value === "string" ? parseSize(value) : isWhole(value) ? value : undefined,
    );
  }

  duration(key: string): number | undefined {
    return this.#read(key, "a time such as 24h", (value) =>
      typeof value === "string" ? parseDuration(value) : value === 0 ? 0 : undefined,
    );
  }

  lifetime(key: string): TagLifetime | undefined {
    const read = (value: unknown): TagLifetime | undefined =>
      value === "forever" ? "forever" : typeof value === "string" ? parseDuration(value) : value === 0 ? 0 : undefined;
    return this.#read(key, 'a time such as 24h, or "forever"', read);
  }

  choice<Choice extends string>(key: string, choices: readonly Choice[]): Choice | undefined {
    return this.#read(key, `one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value));
  }

  section(key: string): Section | undefined {
    const value = this.#read(key, "a table", (found) => (isTable(found) ? found : undefined));
    return value === undefined ? undefined : new Section(value, this.#nameOf(key), this.#problems);
  }

  sections(key: string): readonly (readonly [string, Section])[] {
    const table = this.section(key);
    return Object.keys(table?.values ?? {}).flatMap((id) => {
      // An object cannot hold it under this name.
      if (id === "__proto__") this.#problems.push(`${this.#nameOf(key)}.${id} cannot be a name`);
      if (id === "__proto__") return [];
      const section = table?.section(id);
      return section === undefined ? [] : [[id, section] as const];
    });
  }

  list(key: string): readonly Section[] {
    const tables = this.#read(key, "a list of tables", (value) =>
      Array.isArray(value) && value.every(isTable)
        ? (value as readonly Readonly<Record<string, unknown>>[])
        : undefined,
    );
    return (tables ?? []).map((table, index) => new Section(table, `${this.#nameOf(key)}[${index}]`, this.#problems));
  }

  end(): void {
    for (const key of Object.keys(this.values))
      if (!this.#used.has(key)) this.#problems.push(`${this.#nameOf(key)} is no setting`);
  }

  #read<Value>(key: string, what: string, read: (value: unknown) => Value | undefined): Value | undefined {
    this.#used.add(key);
    const value = this.values[key];
    if (value === undefined) return undefined;
    const result = read(value);
    if (result === undefined) this.#problems.push(`${this.#nameOf(key)} must be ${what}`);
    return result;
  }

  #nameOf(key: string): string {
    return this.name === "" ? key : `${this.name}.${key}`;
  }
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
