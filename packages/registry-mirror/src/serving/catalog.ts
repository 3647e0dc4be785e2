import type { Registries, Upstream } from "../routing/registries.ts";
import type { Records } from "../storage/records.ts";
import type { Access } from "./permission/access.ts";
import { pageOf, sorted } from "./lists.ts";
import { jsonResponse } from "./messages.ts";
import type { MirrorResponse } from "./messages.ts";
import type { Openings } from "./permission/openings.ts";

export interface CatalogOptions {
  readonly registries: Registries;
  readonly records: Records;
  readonly openings: Openings;
  readonly access: Access;
}

/**
 * Lists the repositories of which something is cached; no upstream is asked.
 *
 * @param only - the upstream that the client believes to talk to
 */
export function catalogResponse(
  query: URLSearchParams,
  only: Upstream | undefined,
  { access, openings, records, registries }: CatalogOptions,
): MirrorResponse {
  const names: string[] = [];
  for (const repository of records.repositories()) {
    const upstream = registries.upstreams.get(repository.upstream);
    // Nobody can ask for what came from an upstream that is none any more.
    if (upstream === undefined || (only !== undefined && upstream !== only)) continue;
    const image = { upstream, name: repository.name };
    // Names, too, are told to those only whom the upstream lets in, and nobody has asked it.
    if (access.isPerClient(image) || !openings.hasAny(image, repository)) continue;
    const isPlain = only !== undefined || upstream === registries.defaultRegistry;
    names.push(isPlain ? repository.name : `${upstream.hosts[0]}/${repository.name}`);
  }
  const { entries, next } = pageOf(sorted(names), query, catalogPage);
  const link = next === undefined ? {} : { link: `</v2/_catalog?${next}>; rel="next"` };
  return jsonResponse(200, Buffer.from(JSON.stringify({ repositories: entries })), link);
}

const catalogPage = 100;
