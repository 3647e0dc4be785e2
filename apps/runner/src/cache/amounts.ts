import { UsageError } from "../errors.ts";

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const UNITS_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
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
  const factor = units[unit];
  if (factor === undefined) {
    throw new UsageError(`--${option} ${text} cannot be understood.`, {
      cure: `Give a number and a unit, for example ${examples}.`,
    });
  }
  return Number(digits) * factor;
}
