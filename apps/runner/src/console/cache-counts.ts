import type { CacheEvent } from "@fleetfoot/job-runner";

/** Adds up what happened to the caches of a pipeline. */
export class CacheCounts {
  hits = 0;
  hitBytes = 0;
  misses = 0;
  saved = 0;
  savedBytes = 0;
  unchanged = 0;
  failed = 0;

  add(event: CacheEvent): void {
    switch (event.kind) {
      case "hit":
        this.hits += 1;
        this.hitBytes += event.bytes ?? 0;
        break;
      case "miss":
        this.misses += 1;
        break;
      case "saved":
        this.saved += 1;
        this.savedBytes += event.bytes ?? 0;
        break;
      case "unchanged":
        this.unchanged += 1;
        break;
      case "failed":
        this.failed += 1;
        break;
    }
  }
}
