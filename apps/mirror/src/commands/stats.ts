import type { CachedEntry } from "@fleetfoot/registry-mirror";
import type { CommandAction } from "../command.ts";
import type { Overview } from "../serve/status-page.ts";
import { loadOperators } from "../settings/load-settings.ts";
import { formatSize } from "../settings/units.ts";
import { askOperators, filterQuery } from "./operators-client.ts";

/** Shows how a running mirror is doing, or what it has. */
export const stats: CommandAction = async (invocation, context) => {
  const operators = await loadOperators(invocation, context);
  const options = { signal: context.stop.forced, patience: AbortSignal.timeout(30_000) };
  const isJson = invocation.flag("json");
  if (!invocation.flag("entries")) {
    const { body } = await askOperators(operators, "/status.json", options);
    context.stdout.write(isJson ? `${JSON.stringify(body)}\n` : summary(body as Overview));
    return 0;
  }
  const all: CachedEntry[] = [];
  for (let path: string | undefined = `/entries?${filterQuery(invocation)}`; path !== undefined;) {
    const page: Awaited<ReturnType<typeof askOperators>> = await askOperators(operators, path, options);
    all.push(...(page.body as { readonly entries: readonly CachedEntry[] }).entries);
    path = page.link;
  }
  if (all.length === 0) context.stderr.write("nothing is cached that fits\n");
  if (isJson) context.stdout.write(`${JSON.stringify(all)}\n`);
  else for (const entry of all) context.stdout.write(`${lineOf(entry)}\n`);
  return 0;
};

function summary({ clientBytes, hitRate, rateLimits, requests, status, upstreamBytes }: Overview): string {
  const limit = status.maxBytes === undefined ? "" : ` of ${formatSize(status.maxBytes)}`;
  return [
    `stored:    ${formatSize(status.storedBytes)}${limit} in ${status.storedBlobs} blobs of ${status.repositories} repositories`,
    `requests:  ${requests}${hitRate === undefined ? "" : `, ${(hitRate * 100).toFixed(1)} % from the cache`}`,
    `bytes:     ${formatSize(clientBytes)} to clients, ${formatSize(upstreamBytes)} from upstreams`,
    ...status.upstreams.map(({ id, state, url }) => `upstream:  ${id} (${url}): ${state}`),
    ...rateLimits.map(
      ({ limit: pulls, remaining, upstream }) =>
        `pulls:     ${remaining}${pulls === undefined ? "" : ` of ${pulls}`} left at ${upstream}`,
    ),
    ...(status.diskProblem === undefined ? [] : [`disk:      nothing can be stored: ${status.diskProblem}`]),
    ...(status.sharedStore === "none" ? [] : [`store:     ${status.sharedStore}`]),
    ...status.fills.map(
      ({ digest, readers, receivedBytes }) =>
        `fetching:  ${digest.slice(0, 19)} ${formatSize(receivedBytes)} for ${readers}`,
    ),
    "",
  ].join("\n");
}

function lineOf({ bytes, digest, name, reference, upstream }: CachedEntry): string {
  const what = reference === digest ? `@${digest}` : `:${reference} -> ${digest.slice(0, 19)}`;
  return `${upstream} ${name}${what} ${formatSize(bytes)}`;
}
