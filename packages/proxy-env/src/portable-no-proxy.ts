import { formatAddress } from "./no-proxy/ip-address.ts";
import type { AddressRange } from "./no-proxy/ip-address.ts";
import { parseNoProxy } from "./no-proxy/parse-no-proxy.ts";
import type { NoProxyEntry } from "./no-proxy/parse-no-proxy.ts";

/** How a portable list is written. */
export interface PortableNoProxyOptions {
  /**
   * Whether `name:port` may be written as `name` as well, which covers its other ports. curl and Azure's SDK ignore entries
   * with a port. @default true
   */
  readonly namesForPorts?: boolean;
  /** Whether a Docker service of the job is called `docker`, as in Docker-in-Docker. @default false */
  readonly dockerService?: boolean;
}

/** A bypass list that every program understands as far as it can. */
export interface PortableNoProxy {
  /** The value of `no_proxy`: entries with commas and without spaces. */
  readonly value: string;
  readonly entries: readonly string[];
  /** What some program will do otherwise, a sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Writes a bypass list for child processes and containers, each item in every form that some program needs. What every job
 * needs is always in it: this machine, the metadata addresses of clouds, the host of a container.
 *
 * @param items - of the operator and of the job, such as `corp.example`, `docker:2375`, `10.0.0.0/30`
 */
export function portableNoProxy(items: readonly string[], options: PortableNoProxyOptions = {}): PortableNoProxy {
  const entries = items.flatMap((item) => parseNoProxy(item));
  if (entries.some(({ kind }) => kind === "all")) return { value: "*", entries: ["*"], warnings: [] };
  const written = new Set(always);
  if (options.dockerService) for (const name of dockerNames) written.add(name);
  const warnings: string[] = [];
  for (const entry of entries) {
    if (/[\s\p{Cc}]/u.test(entry.text)) {
      warnings.push(`"${entry.text}" is left out: white space inside an entry separates entries for some programs.`);
      continue;
    }
    const { forms, warning } = formsOf(entry, options.namesForPorts ?? true);
    for (const form of forms) written.add(form);
    if (warning !== undefined) warnings.push(warning);
  }
  return { value: [...written].join(","), entries: [...written], warnings };
}

/**
 * Where a cloud's machine and its containers ask for their credentials.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
 */
export const METADATA_ADDRESSES: readonly string[] = ["169.254.169.254", "169.254.170.2"];

const always: readonly string[] = [
  "localhost",
  "127.0.0.1",
  "::1",
  "[::1]",
  ...METADATA_ADDRESSES,
  "metadata.google.internal",
  "host.docker.internal",
];

const dockerNames: readonly string[] = ["docker", "docker:2375", "docker:2376"];

const LISTED_ADDRESSES_MAX = 16;

interface Forms {
  readonly forms: readonly string[];
  readonly warning?: string;
}

function formsOf(entry: NoProxyEntry, namesForPorts: boolean): Forms {
  switch (entry.kind) {
    case "all":
      return { forms: [entry.text] };
    case "range":
      return rangeForms(entry.text, entry.range);
    case "address": {
      const address = formatAddress(entry.address);
      const bracketed = entry.address.length === 4 ? address : `[${address}]`;
      if (entry.port === "") return { forms: [address, bracketed] };
      const withPort = `${bracketed}:${entry.port}`;
      return { forms: namesForPorts ? [withPort, address, bracketed] : [withPort] };
    }
    default:
      return nameForms(entry, namesForPorts);
  }
}

function nameForms(entry: NoProxyEntry & { readonly kind: "name" }, namesForPorts: boolean): Forms {
  const { name, port, includesApex } = entry;
  const plain = includesApex ? [name, `.${name}`] : [`.${name}`, `*.${name}`];
  const warning = includesApex
    ? undefined
    : `"${entry.text}" is meant for sub-domains only; curl and undici 8 bypass the proxy for ${name} itself, too.`;
  if (port === "") return withWarning(plain, warning);
  const withPort = includesApex ? [`${name}:${port}`] : plain.map((form) => `${form}:${port}`);
  const withoutPort = includesApex ? [name] : plain;
  return withWarning(namesForPorts ? [...withPort, ...withoutPort] : withPort, warning);
}

function rangeForms(text: string, range: AddressRange): Forms {
  const count = 2 ** (range.network.length * 8 - range.prefixLength);
  if (count > LISTED_ADDRESSES_MAX) {
    const warning = `"${text}" is a range that undici, Node and the clients of Azure and Google Cloud do not understand.`;
    return { forms: [text], warning };
  }
  const addresses = Array.from({ length: count }, (_, offset) => {
    // The last byte holds all 16 numbers, since host bits are zero in a network.
    const address = [...range.network.slice(0, -1), (range.network.at(-1) ?? 0) + offset];
    const formatted = formatAddress(address);
    return address.length === 4 ? [formatted] : [formatted, `[${formatted}]`];
  });
  return { forms: [text, ...addresses.flat()] };
}

function withWarning(forms: readonly string[], warning: string | undefined): Forms {
  return warning === undefined ? { forms } : { forms, warning };
}
