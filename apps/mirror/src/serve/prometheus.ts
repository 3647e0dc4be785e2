import { metricDescriptions } from "@fleetfoot/registry-mirror";
import type { Sample } from "@fleetfoot/registry-mirror";
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";

/** Renders the mirror's figures and those of the process for Prometheus. */
export class PrometheusPage {
  readonly #process = new Registry();
  readonly contentType: string = this.#process.contentType;

  constructor() {
    collectDefaultMetrics({ register: this.#process });
  }

  async render(samples: readonly Sample[]): Promise<string> {
    const registry = new Registry();
    for (const [name, { help, type }] of Object.entries(metricDescriptions)) {
      const own = samples.filter((sample) => sample.name === name);
      const labelNames = [...new Set(own.flatMap(({ labels }) => Object.keys(labels)))];
      const settings = { name: `fleetfoot_mirror_${name}`, help, labelNames, registers: [registry] };
      const metric = type === "counter" ? new Counter(settings) : new Gauge(settings);
      for (const { labels, value } of own) metric.inc(labels, value);
    }
    return `${await registry.metrics()}\n${await this.#process.metrics()}`;
  }

  close(): void {
    this.#process.clear();
  }
}
