import type { AzureStoreOptions } from "@fleetfoot/cache-backend-azure";
import type { GcsStoreOptions } from "@fleetfoot/cache-backend-gcs";
import type { S3StoreOptions } from "@fleetfoot/cache-backend-s3";
import { isAbsolute } from "node:path";
import { Secret } from "@fleetfoot/registry-mirror";
import type { MirrorOptions, UpstreamOptions, VirtualRegistryOptions } from "@fleetfoot/registry-mirror";
import { formatAddress, isLoopback, parseListenAddress } from "./addresses.ts";
import type { ListenAddress } from "./addresses.ts";
import { readAdvertised } from "./advertised.ts";
import type { Advertised } from "./advertised.ts";
import { readConnectSettings } from "./connect-settings.ts";
import type { ConnectSettings } from "./connect-settings.ts";
import { Section } from "./section.ts";
import { parseSize } from "./units.ts";

/** Where settings come from; the first goes before the others. */
export interface SettingsSources {
  readonly flags: {
    readonly listen: readonly string[];
    readonly operators?: string | undefined;
    readonly data?: string | undefined;
    readonly upstream?: string | undefined;
    readonly maxSize?: string | undefined;
    readonly tlsCert?: string | undefined;
    readonly tlsKey?: string | undefined;
    readonly advertise?: string | undefined;
    readonly allowShared?: boolean;
    readonly connect?: boolean;
  };
  readonly environment: Readonly<Record<string, string>>;
  /** Whether the logins of the upstreams will be used. @default true */
  readonly needsLogins?: boolean;
  /** The settings file, parsed as TOML. */
  readonly file: Readonly<Record<string, unknown>>;
  readonly isRoot: boolean;
  readonly homeDirectory: string;
}

/** A shared store: which kind, and what it is to be made with. */
export interface StoreSettings {
  readonly kind: "azure" | "gcs" | "s3";
  /** As the store's package names them. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** An address for one upstream or virtual registry. */
interface Listener extends ListenAddress {
  /** Id of the registry that names without a host belong to there. */
  readonly entry: string | undefined;
}

/** What `serve` does. */
export interface Settings {
  readonly listeners: readonly Listener[];
  readonly operators: ListenAddress;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** How clients call the mirror, when the operator says it. */
  readonly advertise: Advertised | undefined;
  readonly store: StoreSettings | undefined;
  /** Undefined unless clients may use the mirror as their HTTP proxy. */
  readonly connect: ConnectSettings | undefined;
  readonly mirror: Omit<MirrorOptions, "clock" | "dispatcher" | "logger" | "store">;
  /** What the operator should know at every start. */
  readonly warnings: readonly string[];
}

export type ReadSettings = { readonly settings: Settings } | { readonly problems: readonly string[] };

const dockerHub = "https://registry-1.docker.io";

/** Puts flags, variables of the classical image, the file and the defaults together; tells every problem at once. */
export function readSettings(sources: SettingsSources): ReadSettings {
  const { environment, file, flags } = sources;
  const problems: string[] = [];
  const top = new Section(file, "", problems);
  // Read before what goes before them: a setting that is overruled is still one.
  const own = {
    operators: top.text("operators"),
    tlsCert: top.text("tlsCert"),
    tlsKey: top.text("tlsKey"),
    maxBytes: top.size("maxSize"),
    advertise: top.text("advertise"),
    allowShared: top.flag("allowShared"),
    directory: top.text("data"),
    listen: top.texts("listen"),
  };

  const addresses = firstOf(flags.listen, listOf(environment["REGISTRY_HTTP_ADDR"]), own.listen, ["127.0.0.1:6000"]);
  const listeners: Listener[] = addresses.flatMap((text) => listener(text, undefined, problems));
  const configured = readUpstreams(sources, top, problems);
  const { settings: connect, upstreams } = readConnectSettings(
    top.section("connect"),
    flags.connect === true,
    configured,
    problems,
  );
  const virtualRegistries: Record<string, VirtualRegistryOptions> = {};
  for (const [id, section] of top.sections("virtual")) {
    const winnerTtlMs = section.duration("winnerTtl");
    const prefix = section.text("prefix");
    virtualRegistries[id] = {
      upstreams: section.texts("upstreams"),
      ...(prefix === undefined ? {} : { prefix }),
      ...(winnerTtlMs === undefined ? {} : { winnerTtlMs }),
    };
    const own = section.text("listen");
    if (own !== undefined) listeners.push(...listener(own, id, problems));
    section.end();
  }
  for (const [index, address] of addresses.entries())
    if (addresses.indexOf(address) !== index) problems.push(`listen: ${JSON.stringify(address)} is there twice`);
  const operatorsText = flags.operators ?? own.operators ?? "127.0.0.1:6001";
  const operators =
    parseListenAddress(operatorsText) ??
    problem(problems, `operators: ${JSON.stringify(operatorsText)} is no address such as 127.0.0.1:6001`, {
      host: "127.0.0.1",
      port: 6001,
    });
  const certFile = flags.tlsCert ?? environment["REGISTRY_HTTP_TLS_CERTIFICATE"] ?? own.tlsCert;
  const keyFile = flags.tlsKey ?? environment["REGISTRY_HTTP_TLS_KEY"] ?? own.tlsKey;
  if ((certFile === undefined) !== (keyFile === undefined)) problems.push("tlsCert and tlsKey belong together");
  const maxBytes = flags.maxSize === undefined ? own.maxBytes : sizeOf("--max-size", flags.maxSize, problems);
  const maxUnusedMs = top.duration("maxUnused");
  const staleIfErrorMs = top.duration("staleIfError");
  const reserveBytes = top.size("reserve");
  const keepDeletedTags = top.flag("keepDeletedTags");
  const catalog = top.flag("catalog");
  const allowPrivate = top.texts("allowPrivate");
  const defaultRegistry = top.text("default");
  const [store, redirect] = readStore(top, problems);
  const advertiseText = flags.advertise ?? own.advertise;
  const advertise = advertiseText === undefined ? undefined : readAdvertised(advertiseText, problems);
  const allowShared = flags.allowShared === true || own.allowShared === true;
  const directory =
    flags.data ??
    environment["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] ??
    own.directory ??
    defaultDirectory(sources);
  top.end();
  if (!isAbsolute(directory)) problems.push(`data: ${JSON.stringify(directory)} is no absolute path`);
  if (maxBytes === 0) problems.push("maxSize: must be above 0");
  const taken = listeners.find(({ host, port }) => port !== 0 && port === operators.port && host === operators.host);
  if (taken !== undefined) problems.push(`operators: ${formatAddress(taken)} is where clients come to (listen)`);

  const warnings = warningsFor(listeners, upstreams, { allowShared, hasTls: certFile !== undefined, problems });
  if (problems.length > 0) return { problems };
  const mirror = {
    directory,
    upstreams,
    virtualRegistries,
    ...(defaultRegistry === undefined ? {} : { defaultRegistry }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(reserveBytes === undefined ? {} : { reserveBytes }),
    ...(maxUnusedMs === undefined ? {} : { maxUnusedMs }),
    ...(staleIfErrorMs === undefined ? {} : { staleIfErrorMs }),
    ...(keepDeletedTags === undefined ? {} : { keepDeletedTags }),
    ...(catalog === undefined ? {} : { catalog }),
    ...(redirect === undefined ? {} : { redirect }),
    allowPrivate,
  };
  const tls = certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile };
  return { settings: { listeners, operators, tls, advertise, store, connect, mirror, warnings } };
}

function readUpstreams(sources: SettingsSources, top: Section, problems: string[]): Record<string, UpstreamOptions> {
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
  const url = section.text("url") ?? problem(problems, `${section.name}.url is missing`, dockerHub);
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

function readStore(top: Section, problems: string[]): readonly [StoreSettings | undefined, MirrorOptions["redirect"]] {
  const [found, ...more] = (["s3", "gcs", "azure"] as const).flatMap((kind) => {
    const section = top.section(kind);
    return section === undefined ? [] : [{ kind, section }];
  });
  const needed = found?.kind === "azure" ? "containerName" : "bucket";
  if (found !== undefined && found.section.values[needed] === undefined)
    problems.push(`${found.kind}.${needed} is missing`);
  else found?.section.text(needed);
  for (const key of Object.keys(found?.section.values ?? {}))
    if (found !== undefined && !storeKeys[found.kind].has(key)) problems.push(`${found.kind}.${key} is no setting`);
  if (more.length > 0) problems.push("only one of s3, gcs and azure can be the shared store");
  const section = top.section("redirect");
  const minBytes = section?.size("minSize");
  const lifetimeMs = section?.duration("lifetime");
  section?.end();
  const redirect =
    section === undefined
      ? undefined
      : { ...(minBytes === undefined ? {} : { minBytes }), ...(lifetimeMs === undefined ? {} : { lifetimeMs }) };
  return [found === undefined ? undefined : { kind: found.kind, options: found.section.values }, redirect];
}

type Unsettable = "credential" | "dispatcher" | "now" | "onWarning" | "sleep";

/** What a file can say of a store. A package does not notice what it does not know, and would go to another store. */
const storeKeys: Readonly<Record<StoreSettings["kind"], ReadonlySet<string>>> = {
  s3: keysOf<Exclude<keyof S3StoreOptions, Unsettable>>({
    bucket: true,
    serverAddress: true,
    insecure: true,
    region: true,
    accessKeyId: true,
    secretAccessKey: true,
    sessionToken: true,
    authentication: true,
    serverSideEncryption: true,
    serverSideEncryptionKeyId: true,
    dualStack: true,
    accelerate: true,
    pathStyle: true,
    roleArn: true,
    uploadRoleArn: true,
    assumeRoleMaxConcurrency: true,
    disableAssumeRoleCredentialsCaching: true,
    transferTimeoutMs: true,
    stsEndpoint: true,
    checksums: true,
    responseChecksums: true,
    partBytes: true,
    uploadConcurrency: true,
    maxAttempts: true,
    retryDelayMs: true,
  }),
  gcs: keysOf<Exclude<keyof GcsStoreOptions, Unsettable>>({
    bucket: true,
    credentialsFile: true,
    accessId: true,
    privateKey: true,
    universeDomain: true,
    endpoint: true,
    maxUploadedBytes: true,
    partBytes: true,
    maxAttempts: true,
    retryDelayMs: true,
  }),
  azure: keysOf<Exclude<keyof AzureStoreOptions, Unsettable>>({
    accountName: true,
    accountKey: true,
    containerName: true,
    storageDomain: true,
    endpoint: true,
    partBytes: true,
    uploadConcurrency: true,
    maxAttempts: true,
    retryDelayMs: true,
  }),
};

/** A table that the compiler holds against the options of the package. */
function keysOf<Key extends string>(table: Readonly<Record<Key, true>>): ReadonlySet<string> {
  return new Set(Object.keys(table));
}

function warningsFor(
  listeners: readonly Listener[],
  upstreams: Readonly<Record<string, UpstreamOptions>>,
  {
    allowShared,
    hasTls,
    problems,
  }: { readonly allowShared: boolean; readonly hasTls: boolean; readonly problems: string[] },
): readonly string[] {
  const open = listeners.filter((address) => !isLoopback(address));
  const warnings: string[] = [];
  if (open.length > 0) {
    const where = open.map(formatAddress).join(", ");
    const plain = hasTls ? "" : "plain HTTP and ";
    warnings.push(
      `${where} is open to other machines with ${plain}no client authentication: keep it on a private network.`,
    );
  }
  for (const [id, { access, credentials }] of Object.entries(upstreams)) {
    if (access !== "shared" || credentials === undefined) continue;
    warnings.push(`upstreams.${id}: everybody who reaches this mirror gets what its credentials open.`);
    if (open.length > 0 && !allowShared) {
      problems.push(
        `upstreams.${id}: access "shared" on an address that other machines reach, where nobody has to log in, needs --allow-shared`,
      );
    }
  }
  return warnings;
}

function defaultDirectory({ environment, homeDirectory, isRoot }: SettingsSources): string {
  if (isRoot) return "/var/lib/fleetfoot-mirror";
  return `${environment["XDG_DATA_HOME"] ?? `${homeDirectory}/.local/share`}/fleetfoot-mirror`;
}

function listener(text: string, entry: string | undefined, problems: string[]): readonly Listener[] {
  const address = parseListenAddress(text);
  if (address === undefined) problems.push(`listen: ${JSON.stringify(text)} is no address such as 127.0.0.1:6000`);
  return address === undefined ? [] : [{ ...address, entry }];
}

function sizeOf(name: string, text: string, problems: string[]): number | undefined {
  const bytes = parseSize(text);
  if (bytes === undefined) problems.push(`${name}: ${JSON.stringify(text)} is no size such as 50GB`);
  return bytes;
}

/** The mirror checks more of it; what is in it is not told, since it may hold a password. */
function refuseUnreadable(url: string, where: string, problems: string[]): void {
  if (!URL.canParse(url)) problems.push(`${where} is no URL such as https://registry.example.com`);
}

function problem<Value>(problems: string[], text: string, value: Value): Value {
  problems.push(text);
  return value;
}

function listOf(text: string | undefined): readonly string[] {
  return text === undefined || text === "" ? [] : [text];
}

function firstOf(...lists: readonly (readonly string[])[]): readonly string[] {
  return lists.find((list) => list.length > 0) ?? [];
}
