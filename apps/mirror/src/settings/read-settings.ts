import { isAbsolute } from "node:path";
import type { MirrorOptions, UpstreamOptions, VirtualRegistryOptions } from "@fleetfoot/registry-mirror";
import { formatAddress, isLoopback, parseListenAddress } from "./addresses.ts";
import type { ListenAddress } from "./addresses.ts";
import { readAdvertised } from "./advertised.ts";
import type { Advertised } from "./advertised.ts";
import { readConnectSettings } from "./connect-settings.ts";
import type { ConnectSettings } from "./connect-settings.ts";
import { Section } from "./section.ts";
import type { SettingsSources } from "./settings-sources.ts";
import { readStore } from "./store-settings.ts";
import type { StoreSettings } from "./store-settings.ts";
import { parseSize } from "./units.ts";
import { readUpstreams } from "./upstream-settings.ts";

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
  const operators = parseListenAddress(operatorsText);
  if (operators === undefined)
    problems.push(`operators: ${JSON.stringify(operatorsText)} is no address such as 127.0.0.1:6001`);
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
  const taken = listeners.find(({ host, port }) => port !== 0 && port === operators?.port && host === operators.host);
  if (taken !== undefined) problems.push(`operators: ${formatAddress(taken)} is where clients come to (listen)`);

  const warnings = warningsFor(listeners, upstreams, { allowShared, hasTls: certFile !== undefined, problems });
  if (problems.length > 0 || operators === undefined) return { problems };
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
  for (const [id, { access, credentials, sharedNames = [] }] of Object.entries(upstreams)) {
    if (access !== "shared" || credentials === undefined) continue;
    if (sharedNames.length === 0) {
      warnings.push(`upstreams.${id}: access "shared" opens only what sharedNames name, and there are none.`);
      continue;
    }
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

function listOf(text: string | undefined): readonly string[] {
  return text === undefined || text === "" ? [] : [text];
}

function firstOf(...lists: readonly (readonly string[])[]): readonly string[] {
  return lists.find((list) => list.length > 0) ?? [];
}
