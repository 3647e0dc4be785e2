import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { isDigest } from "../reference/grammar.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { imageKey } from "../storage/layout.ts";
import { askerKey } from "../upstream/asker.ts";
import type { Asker } from "../upstream/asker.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";

/** Failures that answer for the upstream for a while, by who asked. */
export class NegativeAnswers {
  readonly #withdrawals: Pick<Withdrawals, "noteFailure">;
  readonly #failures: ExpiringMap<UpstreamError>;

  constructor(withdrawals: Pick<Withdrawals, "noteFailure">, now: () => number) {
    this.#withdrawals = withdrawals;
    this.#failures = new ExpiringMap(10_000, now);
  }

  /** @param reference - tag or digest */
  find(image: UpstreamImage, reference: string, asker: Asker): UpstreamError | undefined {
    return this.#failures.get(keyOf(image, reference, asker));
  }

  /** Takes note of what kept an upstream from giving something. */
  note(image: UpstreamImage, reference: string, asker: Asker, error: unknown): void {
    if (!(error instanceof UpstreamError)) return;
    this.#withdrawals.noteFailure(image, error);
    const lifetimeMs = negativeLifetime(error, isDigest(reference));
    if (lifetimeMs > 0) this.#failures.set(keyOf(image, reference, asker), error, lifetimeMs);
  }

  /** Forgets those of a repository, so that it is asked again at once. */
  forget(image: UpstreamImage): void {
    this.#failures.deleteWhere((key) => key.startsWith(`${imageKey(image)} `));
  }
}

/** How long a failure answers for the upstream: milliseconds, 0 when it is asked anew. A tag may come sooner than a digest. */
export function negativeLifetime({ code, retryAfterMs }: UpstreamError, isForDigest: boolean): number {
  switch (code) {
    case "absent":
      return isForDigest ? 5 * 60_000 : 30_000;
    case "denied":
    case "credentials-rejected":
    case "forbidden-address":
      return 30_000;
    case "throttled":
      return Math.min(retryAfterMs ?? 10_000, 10_000);
    case "failing":
      return 2000;
    default:
      // Who does not answer at all is not asked for a while, whatever it is for.
      return 0;
  }
}

function keyOf(image: UpstreamImage, reference: string, asker: Asker): string {
  return `${imageKey(image)} ${reference} ${askerKey(asker)}`;
}
