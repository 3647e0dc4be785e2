import { isRepositoryName } from "../reference/grammar.ts";
import type { ImagePath } from "../reference/path.ts";
import { canonicalHost } from "./registry-host.ts";
import { isVirtual } from "./registries.ts";
import type { Registries, Upstream, VirtualRegistry } from "./registries.ts";

/** What is asked for, and of whom. */
export interface UpstreamImage {
  readonly upstream: Upstream;
  /** As the upstream calls it. */
  readonly name: string;
}

export type Selection =
  | {
      readonly kind: "upstream";
      readonly image: UpstreamImage;
      /** Whether the client asks the upstream itself when we say that there is nothing. */
      readonly hasSecondChoice: boolean;
      /** The `ns` that led here, to be told to the client. */
      readonly namespace: string | undefined;
    }
  | { readonly kind: "virtual"; readonly registry: VirtualRegistry; readonly name: string }
  | { readonly kind: "refused"; readonly status: 403 | 404; readonly code: string; readonly message: string };

/** What besides the path says which registry is meant. */
export interface SelectionHints {
  /** Value of `ns`, also when it is empty. */
  readonly namespace: string | undefined;
  /** Id of the registry that names without a host belong to on this address. */
  readonly entry: string | undefined;
  /** Host of the registry that the client believes to talk to. */
  readonly registry?: string | undefined;
}

/** Decides which upstream or virtual registry an image path means. Nothing that is not configured is ever chosen. */
export function selectRegistry(image: ImagePath, hints: SelectionHints, registries: Registries): Selection {
  if (hints.registry !== undefined) {
    const upstream = registries.byHost.get(canonicalHost(hints.registry));
    if (upstream === undefined) return unknownName("this registry is not configured here");
    return checked(upstream, image.fullName, { hasSecondChoice: false, namespace: undefined });
  }
  if (hints.namespace !== undefined) {
    const upstream = registries.byHost.get(canonicalHost(hints.namespace));
    if (upstream === undefined) return unknownName("the registry that ns names is not configured here");
    return checked(upstream, image.fullName, { hasSecondChoice: true, namespace: hints.namespace });
  }
  if (image.host !== undefined) {
    const upstream = registries.byHost.get(canonicalHost(image.host));
    if (upstream === undefined) return unknownName("the registry in front of the name is not configured here");
    return checked(upstream, image.name, { hasSecondChoice: false, namespace: undefined });
  }
  const slash = image.name.indexOf("/");
  const prefixed = registries.byPrefix.get(image.name.slice(0, Math.max(0, slash)));
  if (prefixed !== undefined) return { kind: "virtual", registry: prefixed, name: image.name.slice(slash + 1) };
  const { entry } = hints;
  const registry =
    entry === undefined
      ? registries.defaultRegistry
      : (registries.upstreams.get(entry) ?? registries.virtual.get(entry) ?? registries.defaultRegistry);
  if (isVirtual(registry)) return { kind: "virtual", registry, name: image.name };
  return checked(registry, image.name, { hasSecondChoice: true, namespace: undefined });
}

/** The name as an upstream calls it. */
function nameAt(upstream: Upstream, name: string): string {
  const { addPrefix } = upstream.options;
  if (addPrefix !== undefined) return `${addPrefix}/${name}`;
  return upstream.isHub && !name.includes("/") ? `library/${name}` : name;
}

/** Whether the patterns of an upstream let a name through. Deny goes before allow. */
function isAllowed(upstream: Upstream, name: string): boolean {
  if (upstream.deny.matches(name)) return false;
  return upstream.allow.isEmpty || upstream.allow.matches(name);
}

/**
 * The upstreams of a virtual registry that a name may be asked of, in order: those whose patterns let it through, or the
 * only one that it belongs to.
 */
export function candidatesOf(registry: VirtualRegistry, name: string): readonly UpstreamImage[] {
  const images = registry.upstreams.map((upstream) => ({ upstream, name: nameAt(upstream, name) }));
  const owner = images.find((image) => image.upstream.exclusive.matches(image.name));
  return (owner === undefined ? images : [owner]).filter((image) => isAllowed(image.upstream, image.name));
}

function checked(
  upstream: Upstream,
  asked: string,
  how: { readonly hasSecondChoice: boolean; readonly namespace: string | undefined },
): Selection {
  const name = nameAt(upstream, asked);
  if (!isRepositoryName(name)) return unknownName("no repository can have this name");
  if (!isAllowed(upstream, name)) {
    return { kind: "refused", status: 403, code: "DENIED", message: `${name} is not allowed by this mirror's rules` };
  }
  return { kind: "upstream", image: { upstream, name }, ...how };
}

function unknownName(message: string): Selection {
  return { kind: "refused", status: 404, code: "NAME_UNKNOWN", message };
}
