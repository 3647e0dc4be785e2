import { randomBytes } from "node:crypto";
import { AssumeRoleCommand } from "@aws-sdk/client-sts";
import type { STSClient } from "@aws-sdk/client-sts";
import type { EncryptionSettings } from "./encryption.ts";
import { createLimit } from "./limit.ts";
import type { S3Credentials } from "./options.ts";
import { scopedPolicy } from "./scoped-policy.ts";
import type { Direction } from "./scoped-policy.ts";

export interface RoleSettings extends EncryptionSettings {
  readonly bucket: string;
  readonly maxConcurrency: number;
  readonly caches: boolean;
  readonly now: () => number;
  readonly region: () => Promise<string>;
  readonly client: STSClient;
}

/** Credentials for one object and one direction. */
export interface ScopedCredentials extends S3Credentials {
  readonly sessionToken: string;
  /** Epoch milliseconds. */
  readonly expiresAtMs: number;
}

/** Gets credentials of a role that are good for one object and one direction. */
export type AssumeScopedRole = (
  roleArn: string,
  name: string,
  direction: Direction,
  transfer: {
    readonly signal: AbortSignal | undefined;
    /** How long the transfer may take, in milliseconds. */
    readonly timeLimitMs: number;
  },
) => Promise<ScopedCredentials>;

/**
 * Asks the token service for credentials, and keeps them for the next transfer of the same object in the same direction.
 *
 * @see https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
 */
export function assumeScopedRoles(settings: RoleSettings): AssumeScopedRole {
  const { caches, now, client } = settings;
  const limited = createLimit(settings.maxConcurrency);
  // The first entry is the one that was used longest ago.
  const kept = new Map<string, ScopedCredentials>();

  async function ask(
    roleArn: string,
    name: string,
    direction: Direction,
    signal: AbortSignal | undefined,
  ): Promise<ScopedCredentials> {
    const command = new AssumeRoleCommand({
      RoleArn: roleArn,
      RoleSessionName: `gitlab-runner-cache-${direction}-${randomBytes(4).toString("hex")}`,
      DurationSeconds: lifetimeMs / 1000,
      Policy: scopedPolicy({ ...settings, name, direction, region: await settings.region() }),
    });
    const { Credentials: issued } = await client.send(command, { ...(signal && { abortSignal: signal }) });
    const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "", Expiration } = issued ?? {};
    return {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      expiresAtMs: Expiration?.getTime() ?? now() + lifetimeMs,
    };
  }

  return async (roleArn, name, direction, { signal, timeLimitMs }) => {
    const neededLifetimeMs = Math.min(Math.max(timeLimitMs, 60_000), 55 * 60_000);
    const key = JSON.stringify([roleArn, name, direction]);
    const known = kept.get(key);
    kept.delete(key);
    if (known !== undefined && known.expiresAtMs - now() >= neededLifetimeMs) {
      kept.set(key, known);
      return known;
    }
    const fresh = await limited(() => ask(roleArn, name, direction, signal), signal);
    if (caches) kept.set(key, fresh);
    const [oldest] = kept.keys();
    if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest);
    return fresh;
  };
}

const lifetimeMs = 3_600_000;
const mostKept = 1000;
