import { UpstreamError } from "../errors.ts";
import type { UpstreamErrorCode } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { Digest } from "../reference/grammar.ts";
import type { UpstreamImage } from "../routing/select.ts";

/** What is known of a client that wants a blob. */
export interface ReturningClient {
  /** Whether it was cut off, and comes back for the rest. */
  readonly isResume: boolean;
  /** Whether it can go elsewhere when it is told that there is nothing. */
  readonly hasSecondChoice: boolean;
}

interface BrokenFill {
  readonly error: UpstreamError;
  /** Epoch milliseconds until which nobody tries again. */
  readonly silentUntilMs: number;
}

/** Remembers for a while which upstreams broke off which blobs while clients read them. */
export class BrokenFills {
  readonly #now: () => number;
  readonly #broken: ExpiringMap<BrokenFill>;
  /** Blobs of which somebody may hold bytes that are wrong, whichever upstream sent them. */
  readonly #wrong: ExpiringMap<true>;

  constructor(now: () => number) {
    this.#now = now;
    this.#broken = new ExpiringMap(1000, now);
    this.#wrong = new ExpiringMap(1000, now);
  }

  /** @param failure - undefined when the blob has come whole */
  note(image: UpstreamImage, digest: Digest, failure: unknown, receivedBytes: number): void {
    const key = keyOf(image, digest);
    if (failure === undefined) this.#broken.delete(key);
    if (!(failure instanceof UpstreamError) || receivedBytes === 0 || !brokenOffCodes.has(failure.code)) return;
    const silentMs = failure.code === "timeout" ? silentMemoryMs : 0;
    this.#broken.set(key, { error: failure, silentUntilMs: this.#now() + silentMs }, brokenOffMs);
    if (failure.code === "wrong-bytes") this.#wrong.set(digest, true, brokenOffMs);
  }

  /** Why an upstream is not asked for a blob now; each call counts as one client that was told so. */
  refusal(image: UpstreamImage, digest: Digest, client: ReturningClient): UpstreamError | undefined {
    const key = keyOf(image, digest);
    const broken = this.#broken.get(key);
    if (broken === undefined) return undefined;
    const now = this.#now();
    if (client.isResume && client.hasSecondChoice) {
      // An engine comes back for the rest again and again, for minutes. Told that there is nothing, it comes once more, for
      // the whole; told so again, it goes to the upstream.
      this.#broken.set(key, { ...broken, silentUntilMs: now + engineComesBackMs }, engineComesBackMs);
      return broken.error;
    }
    // Nobody waits for the same silence once more.
    return now < broken.silentUntilMs ? broken.error : undefined;
  }

  /** Whether what a client has of a blob may be wrong, so that the rest would not help it. */
  isWrong(digest: Digest, { isResume }: ReturningClient): boolean {
    return isResume && this.#wrong.get(digest) === true;
  }
}

function keyOf({ upstream }: UpstreamImage, digest: Digest): string {
  return `${upstream.id} ${digest}`;
}

/** Longer than engines wait before they come back. */
const brokenOffMs = 30_000;
const silentMemoryMs = 10_000;
const engineComesBackMs = 15_000;
const brokenOffCodes: ReadonlySet<UpstreamErrorCode> = new Set(["timeout", "unreachable", "wrong-bytes"]);
