import { UsageError } from "../errors.ts";

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const UNITS_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Reads a time such as `14d` or `12h`.
 *
 * @returns milliseconds
 * @throws {UsageError} it is none
 */
export function readAge(option: string, text: string): number {
  return readAmount(option, text, UNITS_MS, "14d, 12h or 90m");
}

/**
 * Reads a size such as `10GB` or `512MiB`.
 *
 * @returns bytes
 * @throws {UsageError} it is none
 */
export function readSize(option: string, text: string): number {
  return readAmount(option, text, UNITS_BYTES, "10GB or 512MiB");
}

function readAmount(option: string, text: string, units: Readonly<Record<string, number>>, examples: string): number {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]+)$/.exec(text) ?? [];
  const factor = units[unit.toLowerCase()];
  if (factor === undefined) {
    throw new UsageError(`--${option} ${text} cannot be understood.`, {
      cure: `Give a number and a unit, for example ${examples}.`,
    });
  }
  return Number(digits) * factor;
}
