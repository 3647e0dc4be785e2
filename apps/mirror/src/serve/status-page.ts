import type { MirrorStatus, Sample } from "@fleetfoot/registry-mirror";
import { formatSize } from "../settings/units.ts";

/** What the status page and `stats` show. */
export interface Overview {
  readonly status: MirrorStatus;
  /** Share of requests that needed nothing of an upstream, between 0 and 1; undefined before the first one. */
  readonly hitRate: number | undefined;
  readonly requests: number;
  readonly clientBytes: number;
  readonly upstreamBytes: number;
  readonly rateLimits: readonly {
    readonly upstream: string;
    readonly remaining: number;
    readonly limit: number | undefined;
    readonly windowSeconds: number | undefined;
  }[];
}

/** Sums the mirror's figures up. */
export function overviewOf(status: MirrorStatus, samples: readonly Sample[]): Overview {
  const total = (name: string, label?: string, values?: readonly string[]): number =>
    samples
      .filter(
        (sample) =>
          sample.name === name && (label === undefined || values?.includes(sample.labels[label] ?? "") === true),
      )
      .reduce((sum, { value }) => sum + value, 0);
  const answered = total("requests_total", "result", ["hit", "join", "miss", "revalidated", "stale"]);
  const one = (name: string, upstream: string): number | undefined =>
    samples.find((sample) => sample.name === name && sample.labels["upstream"] === upstream)?.value;
  return {
    status,
    hitRate: answered === 0 ? undefined : total("requests_total", "result", ["hit", "join", "stale"]) / answered,
    requests: total("requests_total"),
    clientBytes: total("client_bytes_total"),
    upstreamBytes: total("upstream_bytes_total"),
    rateLimits: status.upstreams.flatMap(({ id }) => {
      const remaining = one("rate_limit_remaining", id);
      if (remaining === undefined) return [];
      return [
        { upstream: id, remaining, limit: one("rate_limit", id), windowSeconds: one("rate_limit_window_seconds", id) },
      ];
    }),
  };
}

/** A page of plain HTML that renews itself; it needs no script. */
export function statusPage({ clientBytes, hitRate, rateLimits, requests, status, upstreamBytes }: Overview): string {
  const limit = status.maxBytes === undefined ? "" : ` of ${formatSize(status.maxBytes)}`;
  const figures: readonly (readonly [string, string])[] = [
    ["Hit rate", hitRate === undefined ? "–" : `${(hitRate * 100).toFixed(1)} %`],
    ["Requests", String(requests)],
    ["Sent to clients", formatSize(clientBytes)],
    ["Fetched from upstreams", formatSize(upstreamBytes)],
    ["Stored", `${formatSize(status.storedBytes)}${limit}`],
    ["Blobs", String(status.storedBlobs)],
    ["Repositories", String(status.repositories)],
    ["Shared store", status.sharedStore],
    ...(status.diskProblem === undefined ? [] : [["Disk", `nothing can be stored: ${status.diskProblem}`] as const]),
  ];
  const upstreams = status.upstreams.map(({ id, state, url }) => {
    const left = rateLimits.find(({ upstream }) => upstream === id);
    const pulls = left === undefined ? "–" : `${left.remaining}${left.limit === undefined ? "" : ` of ${left.limit}`}`;
    return [id, url, state, pulls];
  });
  const fills = status.fills.map(({ digest, readers, receivedBytes, totalBytes }) => [
    digest.slice(0, 19),
    `${formatSize(receivedBytes)}${totalBytes === undefined ? "" : ` of ${formatSize(totalBytes)}`}`,
    String(readers),
  ]);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<link rel="icon" href="data:,">
<title>Registry mirror</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }
dl div { border: 1px solid #8884; border-radius: .5rem; padding: .6rem .9rem; }
dt { opacity: .7; } dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
.up { color: #2a8a3e; } .down, .credentials { color: #c0392b; font-weight: 600; }
</style>
</head>
<body>
<h1>Registry mirror</h1>
<dl>${figures.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${escape(value)}</dd></div>`).join("")}</dl>
<h2>Upstreams</h2>
${table(["Id", "URL", "State", "Pulls left"], upstreams, 2)}
<h2>Fills</h2>
${fills.length === 0 ? "<p>Nothing is being fetched.</p>" : table(["Blob", "Received", "Readers"], fills)}
</body>
</html>
`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], stateColumn?: number): string {
  const cell = (text: string, column: number): string => {
    const state = column === stateColumn ? ` class="${escape(text.split(" ")[0] ?? "")}"` : "";
    return `<td${state}>${escape(text)}</td>`;
  };
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("");
  return `<table><thead><tr>${head.map((text) => `<th>${escape(text)}</th>`).join("")}</tr></thead><tbody>${body}</tbody></table>`;
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
