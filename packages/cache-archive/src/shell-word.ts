/** Expands a word as a shell does inside double quotes. Throws CacheArchiveError `bad-word` for what it cannot expand. */
export function expandShellWord(text: string, environment: Readonly<Record<string, string>>): string {
  throw new Error(`being written: ${text}${Object.keys(environment).length}`);
}
