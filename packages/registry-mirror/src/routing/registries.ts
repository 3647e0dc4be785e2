import { MirrorOptionsError } from "../errors.ts";
import type { MirrorOptions, TagLifetime, UpstreamOptions } from "../options.ts";
import { isRegistryHost, isRepositoryName, isTag } from "../reference/grammar.ts";
import { compilePatterns } from "./patterns.ts";
import type { NamePatterns } from "./patterns.ts";
import { canonicalHost, dockerHub, hostOfUrl } from "./registry-host.ts";

/** An upstream whose options were checked. */
export interface Upstream {
  readonly id: string;
  readonly url: URL;
  /** In the spelling of `canonicalHost`. */
  readonly hosts: readonly string[];
  readonly isHub: boolean;
  readonly allow: NamePatterns;
  readonly deny: NamePatterns;
  readonly exclusive: NamePatterns;
  readonly sharedNames: NamePatterns;
  readonly tagRules: readonly { readonly pattern: NamePatterns; readonly ttlMs: TagLifetime }[];
  readonly options: UpstreamOptions;
}

/** A virtual registry whose options were checked. */
export interface VirtualRegistry {
  readonly id: string;
  readonly prefix: string;
  readonly upstreams: readonly Upstream[];
  readonly winnerTtlMs: number;
}

/** Every registry that can be asked for; nothing else ever is. */
export interface Registries {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly byHost: ReadonlyMap<string, Upstream>;
  readonly virtual: ReadonlyMap<string, VirtualRegistry>;
  readonly byPrefix: ReadonlyMap<string, VirtualRegistry>;
  readonly defaultRegistry: Upstream | VirtualRegistry;
  /** What works, but probably not as meant. */
  readonly warnings: readonly string[];
}

/**
 * Checks what the options say of registries.
 *
 * @throws {MirrorOptionsError} with every problem
 */
export function readRegistries(
  options: Pick<MirrorOptions, "upstreams" | "virtualRegistries" | "defaultRegistry">,
): Registries {
  const problems: string[] = [];
  const warnings: string[] = [];
  const upstreams = new Map<string, Upstream>();
  const byHost = new Map<string, Upstream>();
  for (const [id, upstreamOptions] of Object.entries(options.upstreams)) {
    const upstream = readUpstream(id, upstreamOptions, problems);
    if (upstream === undefined) continue;
    upstreams.set(id, upstream);
    for (const host of upstream.hosts) {
      const other = byHost.get(host);
      if (other === undefined) byHost.set(host, upstream);
      else if (other !== upstream) problems.push(`upstreams.${id}: ${host} belongs to upstream ${other.id} already`);
    }
  }
  if (Object.keys(options.upstreams).length === 0) problems.push("upstreams: there must be at least one");

  const virtual = new Map<string, VirtualRegistry>();
  const byPrefix = new Map<string, VirtualRegistry>();
  for (const [id, virtualOptions] of Object.entries(options.virtualRegistries ?? {})) {
    const where = `virtualRegistries.${id}`;
    const { prefix = id, winnerTtlMs = dayMs } = virtualOptions;
    if (!idPattern.test(id) || upstreams.has(id)) problems.push(`${where}: the id must be a word of its own`);
    if (!isRepositoryName(prefix) || prefix.includes("/") || isRegistryHost(prefix)) {
      problems.push(`${where}.prefix: ${JSON.stringify(prefix)} must be one component of a name that is no host`);
    }
    if (byPrefix.has(prefix)) problems.push(`${where}.prefix: ${JSON.stringify(prefix)} is taken`);
    if (virtualOptions.upstreams.length === 0) problems.push(`${where}.upstreams: there must be at least one`);
    const members = virtualOptions.upstreams.flatMap((member) => {
      const upstream = upstreams.get(member);
      if (upstream === undefined && !(member in options.upstreams)) {
        problems.push(`${where}.upstreams: there is no upstream ${JSON.stringify(member)}`);
      }
      return upstream === undefined ? [] : [upstream];
    });
    const registry: VirtualRegistry = { id, prefix, upstreams: members, winnerTtlMs };
    virtual.set(id, registry);
    byPrefix.set(prefix, registry);
  }

  const { defaultRegistry: wanted = Object.keys(options.upstreams)[0] ?? "" } = options;
  const defaultRegistry = upstreams.get(wanted) ?? virtual.get(wanted);
  if (defaultRegistry === undefined && options.defaultRegistry !== undefined) {
    problems.push(`defaultRegistry: there is no upstream or virtual registry ${JSON.stringify(wanted)}`);
  }
  if (problems.length > 0 || defaultRegistry === undefined) throw new MirrorOptionsError(problems);
  if (isVirtual(defaultRegistry) && defaultRegistry.upstreams[0]?.isHub !== true) {
    warnings.push(
      `names without a host belong to virtual registry ${defaultRegistry.id}, whose first upstream is not Docker Hub: engines that use this mirror for Docker Hub get what that one calls library/...`,
    );
  }
  return { upstreams, byHost, virtual, byPrefix, defaultRegistry, warnings };
}

/** Whether a registry is a list of upstreams. */
export function isVirtual(registry: Upstream | VirtualRegistry): registry is VirtualRegistry {
  return "upstreams" in registry;
}

function readUpstream(id: string, options: UpstreamOptions, problems: string[]): Upstream | undefined {
  const where = `upstreams.${id}`;
  const before = problems.length;
  const patterns = (name: "allow" | "deny" | "exclusive" | "sharedNames"): NamePatterns =>
    compilePatterns(options[name] ?? [], `${where}.${name}`, problems);
  if (!idPattern.test(id)) problems.push(`${where}: an id has letters, digits, - and _ only`);
  const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "") {
    problems.push(
      `${where}.url: ${JSON.stringify(redacted(options.url))} is no URL such as https://registry.example.com`,
    );
  } else if (url.username !== "" || url.password !== "") {
    problems.push(`${where}.url: credentials belong into credentials`);
  } else if (/\/v2\/?$/.test(url.pathname)) {
    problems.push(`${where}.url: must be without /v2, which each request puts behind it`);
  }
  for (const host of options.hosts ?? []) {
    if (!isRegistryHost(host)) problems.push(`${where}.hosts: ${JSON.stringify(host)} is no host`);
  }
  if (options.addPrefix !== undefined && !isRepositoryName(options.addPrefix)) {
    problems.push(`${where}.addPrefix: ${JSON.stringify(options.addPrefix)} cannot be part of a name`);
  }
  for (const pin of options.pins ?? []) {
    const colon = pin.lastIndexOf(":");
    if (!isRepositoryName(pin.slice(0, Math.max(0, colon))) || !isTag(pin.slice(colon + 1)))
      problems.push(`${where}.pins: ${JSON.stringify(pin)} is no image such as library/node:22`);
  }
  const tagRules = (options.tagRules ?? []).map((rule) => ({
    pattern: compilePatterns([rule.pattern], `${where}.tagRules`, problems),
    ttlMs: rule.ttlMs,
  }));
  for (const ttlMs of [options.tagTtlMs, ...tagRules.map((rule) => rule.ttlMs)]) {
    if (ttlMs !== undefined && ttlMs !== "forever" && !(ttlMs >= 0))
      problems.push(`${where}.tagTtlMs: must not be negative`);
  }
  const rest = {
    allow: patterns("allow"),
    deny: patterns("deny"),
    exclusive: patterns("exclusive"),
    sharedNames: patterns("sharedNames"),
  };
  if (problems.length > before || url === undefined) return undefined;
  const hosts = [...new Set([hostOfUrl(options.url), ...(options.hosts ?? []).map(canonicalHost)])];
  return { id, url, hosts, isHub: hosts.includes(dockerHub), tagRules, options, ...rest };
}

function redacted(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//[redacted]@");
}

/** Also a directory name, so nothing that a file system might take amiss. */
const idPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/i;
const dayMs = 24 * 60 * 60_000;
