import { Secret } from "@fleetfoot/registry-mirror";
import type { UpstreamOptions } from "@fleetfoot/registry-mirror";
import type { Section } from "./section.ts";
import type { SettingsSources } from "./settings-sources.ts";

const dockerHub = "https://registry-1.docker.io";

/** Reads the upstreams: that of the flag or of the variables of the classical image first, and then those of the file. */
export function readUpstreams(
  sources: SettingsSources,
  top: Section,
  problems: string[],
): Record<string, UpstreamOptions> {
  const { environment, flags } = sources;
  const upstreams: Record<string, UpstreamOptions> = {};
  const url = flags.upstream ?? environment["REGISTRY_PROXY_REMOTEURL"];
  const username = environment["REGISTRY_PROXY_USERNAME"];
  const password = environment["REGISTRY_PROXY_PASSWORD"];
  const sections = top.sections("upstreams");
  if (url !== undefined) refuseUnreadable(url, "upstream", problems);
  if (url !== undefined || sections.length === 0) {
    if ((username === undefined) !== (password === undefined) && sources.needsLogins !== false)
      problems.push("REGISTRY_PROXY_USERNAME and REGISTRY_PROXY_PASSWORD belong together");
    const login =
      username === undefined || password === undefined ? undefined : { username, password: new Secret(password) };
    // The default registry comes first. Engines call it Docker Hub, whatever stands behind it.
    upstreams[sections.some(([id]) => id === "hub") ? "default" : "hub"] = {
      url: url ?? dockerHub,
      ...(sections.length === 0 && url !== undefined ? { hosts: ["docker.io"] } : {}),
      ...(login === undefined ? {} : { credentials: login }),
    };
  }
  for (const [id, section] of sections) upstreams[id] = readUpstream(section, sources, problems);
  return upstreams;
}

function readUpstream(
  section: Section,
  { environment, needsLogins = true }: SettingsSources,
  problems: string[],
): UpstreamOptions {
  const username = section.text("username");
  const variable = section.text("passwordVariable");
  const plain = section.text("password") ?? (variable === undefined ? undefined : environment[variable]);
  const isEmpty = variable !== undefined && (plain === undefined || plain === "");
  if (username !== undefined && isEmpty) {
    if (needsLogins) problems.push(`${section.name}: the variable ${variable} (passwordVariable) holds no password`);
  } else if ((username === undefined) !== (plain === undefined)) {
    problems.push(`${section.name}: username and password (or passwordVariable, with a value) belong together`);
  }
  const access = section.choice("access", ["pass-through", "public", "shared"] as const);
  const onFailure = section.choice("onFailure", ["next", "stop"] as const);
  const tagTtlMs = section.lifetime("tagTtl");
  const addPrefix = section.text("addPrefix");
  const ca = section.text("ca");
  if (ca !== undefined && !ca.includes("-----BEGIN CERTIFICATE-----")) {
    problems.push(`${section.name}.ca must be certificates themselves (PEM: -----BEGIN CERTIFICATE-----)`);
  }
  const tagRules = section.list("tagRules").flatMap((rule) => {
    const pattern = rule.text("pattern");
    const ttlMs = rule.lifetime("tagTtl");
    rule.end();
    if (pattern !== undefined && ttlMs !== undefined) return [{ pattern, ttlMs }];
    problems.push(`${rule.name}: needs pattern and tagTtl`);
    return [];
  });
  const given = section.text("url");
  if (given === undefined) problems.push(`${section.name}.url is missing`);
  const url = given ?? dockerHub;
  refuseUnreadable(url, `${section.name}.url`, problems);
  const options: UpstreamOptions = {
    url,
    hosts: section.texts("hosts"),
    sharedNames: section.texts("sharedNames"),
    allow: section.texts("allow"),
    deny: section.texts("deny"),
    pins: section.texts("pins"),
    exclusive: section.texts("exclusive"),
    realmHosts: section.texts("realmHosts"),
    tagRules,
    ...(username === undefined || plain === undefined
      ? {}
      : { credentials: { username, password: new Secret(plain) } }),
    ...(access === undefined ? {} : { access }),
    ...(onFailure === undefined ? {} : { onFailure }),
    ...(tagTtlMs === undefined ? {} : { tagTtlMs }),
    ...(addPrefix === undefined ? {} : { addPrefix }),
    ...(ca === undefined ? {} : { ca }),
  };
  section.end();
  return options;
}

/** The mirror checks more of it; what is in it is not told, since it may hold a password. */
function refuseUnreadable(url: string, where: string, problems: string[]): void {
  if (!URL.canParse(url)) problems.push(`${where} is no URL such as https://registry.example.com`);
}
