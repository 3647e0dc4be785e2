/** Share of a token's life after which it is exchanged, as the reference does. */
const ROTATION_SHARE = 0.75;

/**
 * When a runner's token is to be exchanged for a new one.
 *
 * @param obtainedAt - RFC 3339; when the token was received
 * @param expiresAt - RFC 3339; undefined for a token that does not expire
 * @returns epoch milliseconds; undefined when the token does not expire or one of the times cannot be read
 * @see coordinator-protocol 3.5
 */
export function tokenRotationAtMs(obtainedAt: string | undefined, expiresAt: string | undefined): number | undefined {
  const obtainedMs = Date.parse(obtainedAt ?? "");
  const expiresMs = Date.parse(expiresAt ?? "");
  if (Number.isNaN(obtainedMs) || Number.isNaN(expiresMs)) return undefined;
  return obtainedMs + ROTATION_SHARE * (expiresMs - obtainedMs);
}
