const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1000,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3,
  t: 1e12,
  tb: 1e12,
  tib: 1024 ** 4,
};

const timeUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `50GB` or `512MiB` as bytes; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^(\d{1,12}(?:\.\d{1,6})?)\s*([a-zA-Z]*)$/.exec(text.trim()) ?? [];
  const factor = sizeUnits[unit.toLowerCase()];
  return digits === "" || factor === undefined ? undefined : Math.floor(Number(digits) * factor);
}

/** Reads `24h`, `1h30m` or `7d` as milliseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.trim() === "0") return 0;
  if (!/^(?:\d{1,9}(?:ms|[smhd]))+$/.test(text.trim())) return undefined;
  let milliseconds = 0;
  for (const [, digits = "", unit = ""] of text.matchAll(/(\d+)(ms|[smhd])/g)) {
    milliseconds += Number(digits) * (timeUnits[unit] ?? 0);
  }
  return milliseconds;
}

/** `1.2 GB` for people. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ["TB", 1e12],
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}
