import { stringify, TomlDate } from "smol-toml";
import type { TomlValue } from "smol-toml";
import { DOCKER_KEYS, type NewRunnerDocker } from "../docker-keys.ts";
import { RunnerConfigError } from "../errors.ts";

/** What is saved of a runner; keys that are not mentioned stay as they are. */
export interface NewRunner {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  readonly executor: string;
  readonly id?: number | undefined;
  /** RFC 3339. */
  readonly tokenObtainedAt?: string | undefined;
  /** RFC 3339; undefined: the token does not expire. */
  readonly tokenExpiresAt?: string | undefined;
  readonly shell?: string | undefined;
  /** 0: no limit of its own; not written. */
  readonly limit?: number | undefined;
  readonly buildsDirectory?: string | undefined;
  readonly cacheDirectory?: string | undefined;
  readonly tlsCaFile?: string | undefined;
  readonly tlsCertificateFile?: string | undefined;
  readonly tlsKeyFile?: string | undefined;
  /** `NAME=value`; an empty list is not written. */
  readonly environment?: readonly string[] | undefined;
}

/** A runner with its sections. */
export interface AddedRunner extends NewRunner {
  /** `[runners.docker]`; empty lists are not written. @default no section */
  readonly docker?: NewRunnerDocker | undefined;
}

/** Keys and values in the order in which they are written; undefined removes. */
export function runnerValues(
  runner: Partial<NewRunner>,
): readonly (readonly [key: string, value: TomlValue | undefined])[] {
  const values = VALUES.flatMap(([name, key, convert]) => {
    if (!Object.hasOwn(runner, name)) return [];
    const value = runner[name];
    return [[key, value === undefined ? undefined : convert(value, key)] as const];
  });
  return values;
}

/** The same for its `[runners.docker]`, only what is there. */
export function dockerValues(docker: NewRunnerDocker): readonly (readonly [key: string, value: TomlValue])[] {
  return DOCKER_KEYS.flatMap(({ name, key, kind }) => {
    const given = docker[name];
    const value = given === undefined ? undefined : CONVERT[kind](given, key);
    return value === undefined ? [] : [[key, value] as const];
  });
}

/** `key = value` on one line. */
export function writePair(key: string, value: TomlValue): string {
  const pair = stringify({ [key]: value }, { numbersAsFloat: true }).trimEnd();
  return value instanceof TomlDate ? pair.replace(/\.000Z$/, "Z") : pair;
}

type Convert = (value: unknown, key: string) => TomlValue | undefined;

const text: Convert = (value) => String(value);
const list: Convert = (value) => (Array.isArray(value) && value.length > 0 ? value.map(String) : undefined);
const integer: Convert = (value, key) => {
  if (Number.isSafeInteger(value)) return BigInt(Number(value));
  throw new RunnerConfigError("invalid-value", `${key} must be a whole number`);
};
const CONVERT = { boolean: (value) => value === true, integer, list, text } satisfies Record<string, Convert>;
const limit: Convert = (value, key) => (value === 0 ? undefined : integer(value, key));
const time: Convert = (value, key) => {
  const date = new Date(String(value));
  if (Number.isNaN(date.getTime()))
    throw new RunnerConfigError("invalid-value", `${key} must be a time such as 2030-01-02T03:04:05Z`);
  return new TomlDate(date.toISOString().replace(/\.\d+Z$/, "Z"));
};

const VALUES: readonly (readonly [name: keyof NewRunner, key: string, convert: Convert])[] = [
  ["name", "name", text],
  ["url", "url", text],
  ["id", "id", integer],
  ["token", "token", text],
  ["tokenObtainedAt", "token_obtained_at", time],
  ["tokenExpiresAt", "token_expires_at", time],
  ["tlsCaFile", "tls-ca-file", text],
  ["tlsCertificateFile", "tls-cert-file", text],
  ["tlsKeyFile", "tls-key-file", text],
  ["executor", "executor", text],
  ["shell", "shell", text],
  ["limit", "limit", limit],
  ["buildsDirectory", "builds_dir", text],
  ["cacheDirectory", "cache_dir", text],
  ["environment", "environment", list],
];
