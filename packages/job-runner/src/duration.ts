const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Reads a duration with units, such as `90s`, `1h30m` or `-1.5h`.
 *
 * @returns milliseconds; undefined for anything else, a bare number other than 0 included
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseDuration(text: string): number | undefined {
  const parts = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (parts === null) return /^[+-]?0$/.test(text) ? 0 : undefined;
  let ms = 0;
  for (const [, amount = "", unit = ""] of (parts[2] ?? "").matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    ms += Number(amount) * (UNIT_MS[unit] ?? 0);
  }
  return parts[1] === "-" ? -ms : ms;
}

/** Writes a duration as `1h0m0s`, `1m30s`, `5s` or `1.5s`. @see https://pkg.go.dev/time#Duration.String */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const fraction =
    ms % 1_000 === 0
      ? ""
      : `.${String(ms % 1_000)
          .padStart(3, "0")
          .replace(/0+$/, "")}`;
  const rest = `${seconds % 60}${fraction}s`;
  if (seconds < 60) return rest;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}m${rest}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}`;
}
