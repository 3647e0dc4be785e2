/**
 * The first nine bytes of a token behind its well-known prefixes: enough to tell runners apart in names and logs, too little to
 * use. The caches and working copies of a runner lie below it, so it has to be what GitLab's runner makes of the token.
 *
 * @returns fewer bytes when there are not as many
 * @see coordinator-protocol 3.6, cache document 2.1
 */
export function shortToken(token: string): string {
  const bare = PREFIXES.reduce((rest, prefix) => rest.replace(prefix, ""), token);
  return Buffer.from(bare).subarray(0, 9).toString();
}

/** Each is looked for once, in this order; a token may have one of several. */
const PREFIXES = [/^(?:glrt-(?:t[123]_)?|t[123]_|glrtr-)/, /^glcbt-/, /^GR[0-9a-fA-F]{7}/];
