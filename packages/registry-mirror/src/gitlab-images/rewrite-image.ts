import { compilePatterns } from "../routing/patterns.ts";
import type { NamePatterns } from "../routing/patterns.ts";
import { canonicalHost } from "../routing/registry-host.ts";
import { parseImage } from "./parse-image.ts";
import type { ImageReference } from "./parse-image.ts";

/** Which images are taken from elsewhere. */
export interface RewriteOptions {
  /**
   * Put in front of the path, for example the value of `CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX`, or
   * `gitlab.example.com/virtual_registries/container/1`.
   */
  readonly prefix: string;
  /** Registries that it replaces. Two registries may have different images of one name. @default ["docker.io"] */
  readonly from?: readonly string[];
  /** Patterns (RE2) of paths that stay as they are. @default [] */
  readonly exclude?: readonly string[];
}

/** A rule whose options were checked. */
export interface RewriteRule {
  readonly prefix: string;
  readonly from: ReadonlySet<string>;
  readonly exclude: NamePatterns;
}

export type RewriteReason =
  /** It was written without a rule's help already. */
  | "already-there"
  /** A pattern of the rule leaves it out. */
  | "excluded"
  /** It names content, not a place. */
  | "image-id"
  /** The rule does not replace its registry. */
  | "registry-not-covered"
  | "rewritten";

export interface RewrittenImage {
  readonly image: string;
  readonly rewritten: boolean;
  readonly reason: RewriteReason;
}

/**
 * Checks a rule.
 *
 * @throws {TypeError} with everything that is wrong
 */
export function createRewriteRule({ exclude = [], from = ["docker.io"], prefix }: RewriteOptions): RewriteRule {
  const problems: string[] = [];
  const plain = prefix.replace(/\/+$/, "");
  const shown = plain.replace(/^([a-z]+:\/\/)?[^/@]*@/i, "$1[redacted]@");
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(plain)) problems.push(`prefix: ${JSON.stringify(shown)} has a scheme`);
  else if (/[@?#\s]/.test(plain) || plain === "") {
    problems.push(`prefix: ${JSON.stringify(shown)} must be a host and a path, without user, query or spaces`);
  } else if (parsedOrUndefined(`${plain}/x`)?.writtenHost === undefined) {
    problems.push(`prefix: ${JSON.stringify(shown)} does not begin with a host`);
  }
  const patterns = compilePatterns(exclude, "exclude", problems);
  if (problems.length > 0) throw new TypeError(problems.join("\n"));
  return { prefix: plain, from: new Set(from.map(canonicalHost)), exclude: patterns };
}

/**
 * Says where an image is to be taken from. Tag and digest stay.
 *
 * @throws {ImageReferenceError}
 */
export function rewriteImage(text: string, rule: RewriteRule): RewrittenImage {
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(text)) return { image: text, rewritten: false, reason: "image-id" };
  const image = parseImage(text);
  if (text.startsWith(`${rule.prefix}/`)) return { image: text, rewritten: false, reason: "already-there" };
  const registry = canonicalHost(image.port === undefined ? image.host : `${image.host}:${image.port}`);
  if (!rule.from.has(registry)) return { image: text, rewritten: false, reason: "registry-not-covered" };
  if (rule.exclude.matches(image.path)) return { image: text, rewritten: false, reason: "excluded" };
  const tag = image.tag === undefined ? "" : `:${image.tag}`;
  const digest = image.digest === undefined ? "" : `@${image.digest}`;
  return { image: `${rule.prefix}/${image.path}${tag}${digest}`, rewritten: true, reason: "rewritten" };
}

function parsedOrUndefined(text: string): ImageReference | undefined {
  try {
    return parseImage(text);
  } catch {
    return undefined;
  }
}
