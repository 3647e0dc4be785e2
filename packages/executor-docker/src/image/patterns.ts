import picomatch from "picomatch";

/** Whether a name fits one of several patterns: `*` within a part of the path, `**` over several. */
export function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => picomatch(pattern, { dot: true, nobrace: false })(name));
}
