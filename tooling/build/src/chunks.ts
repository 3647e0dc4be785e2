/** What is known of a module when files are chosen for all of them. */
export interface ModuleFacts {
  /** Whether it is a program, or what users of the package import. */
  readonly isEntry: boolean;
  /** Modules that load it together with themselves. */
  readonly importers: readonly string[];
  /** Modules that load it on demand. */
  readonly dynamicImporters: readonly string[];
}

/**
 * Which file of a library a module belongs into. What the library loads at once and later things need, too, is one file, and so is what several of the
 * things need that it does on demand: to load one file more takes longer than to read what is not needed of one.
 *
 * @returns `undefined` for what only one of them needs, which lies in its own file
 */
export function chunkOf(moduleId: string, factsOf: (moduleId: string) => ModuleFacts | undefined): string | undefined {
  const seen = new Set<string>();
  const roots = new Set<string>();
  let isAtOnce = false;
  for (const next = [moduleId]; next.length > 0;) {
    const id = next.pop() ?? "";
    if (seen.has(id)) continue;
    seen.add(id);
    const facts = factsOf(id);
    if (facts === undefined) continue;
    if (facts.dynamicImporters.length > 0) roots.add(id);
    if (facts.isEntry && facts.dynamicImporters.length === 0) isAtOnce = true;
    next.push(...facts.importers);
  }
  if (isAtOnce) return roots.size > 0 ? "base" : undefined;
  return roots.size > 1 ? "shared" : undefined;
}
