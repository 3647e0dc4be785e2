import { DockerConfigurationError } from "../errors.ts";

const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/**
 * Bytes of a size such as `128m`.
 *
 * @param key - of the configuration, for the message
 * @throws {DockerConfigurationError}
 */
export function parseSize(key: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim()) ?? [];
  if (text.trim() === "-1") return -1;
  if (amount === undefined) {
    throw new DockerConfigurationError(`${key}: ${JSON.stringify(text)} is no size; write for example 128m`);
  }
  return Math.floor(Number(amount) * (UNITS[unit.toLowerCase()] ?? 1));
}

/** Billionths of a processor of a number or fraction such as `1.5` or `1/2`. @throws {DockerConfigurationError} */
export function parseCpus(key: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const [, numerator, denominator = "1"] = /^(\d+(?:\.\d+)?)(?:\/(\d+))?$/.exec(text.trim()) ?? [];
  if (numerator === undefined || Number(denominator) === 0) {
    throw new DockerConfigurationError(
      `${key}: ${JSON.stringify(text)} is no number of processors; write for example 1.5`,
    );
  }
  return Math.round((Number(numerator) / Number(denominator)) * 1e9);
}
