const PREFIXES = /^(?:glrt-(?:t[123]_)?|t[123]_|glrtr-|glcbt-|GR[0-9a-fA-F]{7})/;

/**
 * The first nine characters of a token behind its well-known prefix: enough to tell runners apart in names and logs,
 * too little to use.
 *
 * @see coordinator-protocol 3.6
 */
export function shortToken(token: string): string {
  return token.replace(PREFIXES, "").slice(0, 9);
}
