/** One figure: a name, what it is about, and its value. */
export interface Sample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Every figure that the mirror keeps, and what it says. */
export const metricDescriptions = {
  requests_total: { type: "counter", help: "Client requests by kind, result and upstream." },
  client_bytes_total: { type: "counter", help: "Bytes of bodies sent to clients." },
  upstream_bytes_total: { type: "counter", help: "Bytes of blobs and manifests received, by upstream." },
  upstream_requests_total: {
    type: "counter",
    help: "Requests to upstreams by kind and status; status 0 is no answer.",
  },
  token_requests_total: { type: "counter", help: "Requests to token servers, by upstream." },
  stale_answers_total: { type: "counter", help: "Answers from the cache although the upstream could not be asked." },
  failovers_total: { type: "counter", help: "Images taken from a lower upstream because a higher one failed." },
  verification_failures_total: { type: "counter", help: "Bodies whose bytes did not fit their digest, by origin." },
  pass_through_total: { type: "counter", help: "Blobs that were served but could not be stored." },
  evicted_bytes_total: { type: "counter", help: "Bytes removed to keep within the limit, or because of age." },
  shared_store_failures_total: { type: "counter", help: "Operations of the shared store that failed." },
  credentials_rejected_total: {
    type: "counter",
    help: "Own credentials refused by a registry or its token server, by upstream.",
  },
  fills_running: { type: "gauge", help: "Blobs that are being fetched now." },
  fill_readers: { type: "gauge", help: "Clients that read a blob while it is being fetched." },
  stored_bytes: { type: "gauge", help: "Bytes of blobs on the local disk." },
  stored_bytes_limit: { type: "gauge", help: "Limit of stored_bytes; 0 is none." },
  rate_limit: { type: "gauge", help: "Pulls that the upstream allows per window." },
  rate_limit_remaining: { type: "gauge", help: "Pulls that the upstream has left for us." },
  rate_limit_window_seconds: { type: "gauge", help: "Length of the upstream's window." },
  connects_total: { type: "counter", help: "CONNECT requests by result." },
  certificates_issued_total: { type: "counter", help: "Certificates made for intercepted hosts." },
  handshakes_failed_total: { type: "counter", help: "Intercepted connections whose TLS did not come about." },
  tunnels_open: { type: "gauge", help: "Connections that are passed on untouched now." },
  tunnel_bytes_total: { type: "counter", help: "Bytes in both directions of tunnels that have ended." },
  breaker_open: { type: "gauge", help: "1 while an upstream is not asked because it did not answer." },
} as const;

export type MetricName = keyof typeof metricDescriptions;

/** Keeps figures in memory. */
export class Metrics {
  readonly #values = new Map<string, Sample>();

  /** Adds to a figure, which is 0 at first. */
  add(name: MetricName, labels: Readonly<Record<string, string>> = {}, amount = 1): void {
    const key = keyOf(name, labels);
    this.#values.set(key, { name, labels, value: (this.#values.get(key)?.value ?? 0) + amount });
  }

  set(name: MetricName, labels: Readonly<Record<string, string>>, value: number): void {
    this.#values.set(keyOf(name, labels), { name, labels, value });
  }

  /** Sum over all labels that have at least these. */
  total(name: MetricName, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0;
    for (const sample of this.#values.values()) {
      if (sample.name !== name) continue;
      if (Object.entries(labels).every(([label, value]) => sample.labels[label] === value)) sum += sample.value;
    }
    return sum;
  }

  samples(): readonly Sample[] {
    return [...this.#values.values()];
  }
}

function keyOf(name: MetricName, labels: Readonly<Record<string, string>>): string {
  let key: string = name;
  for (const label in labels) key += `\n${label}=${labels[label]}`;
  return key;
}
