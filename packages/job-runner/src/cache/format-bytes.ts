/** Writes a length for people, in powers of 1000: `999 B`, `1.10 kB`, `1.11 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  // What rounds up to 1000 belongs to the next unit.
  while (value >= 999.995 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(2)} ${units[unit] ?? "B"}`;
}

const units = ["kB", "MB", "GB", "TB", "PB"];
