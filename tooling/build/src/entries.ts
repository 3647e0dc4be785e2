/** What is read of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | ExportConditions>>;
  readonly bin?: Readonly<Record<string, string>>;
}

interface ExportConditions {
  readonly "@fleetfoot/source"?: string;
  readonly default?: string;
}

/**
 * The modules that users of a package can reach.
 *
 * @returns for each built file, without `./dist/` and its ending, the source that it is made of
 * @throws {Error} an export is not built from a source that lies at the same place
 */
export function entriesOf({ name, exports, bin = {} }: Manifest): Record<string, string> {
  const entries: Record<string, string> = {};
  for (const [path, target] of Object.entries(exports)) {
    if (typeof target === "string") continue;
    const { "@fleetfoot/source": source, default: built } = target;
    const expected = built === undefined ? undefined : sourceOf(built);
    if (expected === undefined || source !== expected)
      throw new Error(`${name}: the export ${path} names ${source} as the source of ${built}.`);
    entries[entryName(expected)] = expected;
  }
  for (const built of Object.values(bin)) entries[entryName(sourceOf(built))] = sourceOf(built);
  return entries;
}

/** Whether an entry is the program of threads, which nobody imports. */
export function isThread(entry: string): boolean {
  return entry.endsWith("-worker");
}

function sourceOf(built: string): string {
  return built.replace(/^\.\/dist\//, "./src/").replace(/\.js$/, ".ts");
}

function entryName(source: string): string {
  return source.replace(/^\.\/src\//, "").replace(/\.ts$/, "");
}
