import { withDeadline } from "../../clock.ts";
import type { Clock } from "../../clock.ts";
import { UpstreamError } from "../../errors.ts";
import { ExpiringMap } from "../../expiring-map.ts";
import type { TimeLimits } from "../../options.ts";
import { manifestAccept } from "../../reference/manifest.ts";
import { neededOpening } from "../../routing/opening.ts";
import type { UpstreamImage } from "../../routing/select.ts";
import { orAbort, SingleFlight } from "../../single-flight.ts";
import { imageKey } from "../../storage/layout.ts";
import { askerKey } from "../../upstream/asker.ts";
import type { Asker } from "../../upstream/asker.ts";
import type { UpstreamClient } from "../../upstream/client.ts";
import { lateAnswerOf } from "../../upstream/failure.ts";
import { negativeLifetime } from "../negative-answers.ts";
import type { Openings } from "./openings.ts";
import type { Withdrawals } from "./withdrawals.ts";

export interface AccessOptions {
  readonly clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly openings: Pick<Openings, "eraKeyOf">;
  readonly withdrawals: Pick<Withdrawals, "noteFailure">;
  readonly clock: Clock;
  readonly limits: Pick<Required<TimeLimits>, "manifestMs" | "manifestTotalMs">;
}

/** Decides in whose name an upstream is asked, and who may have what is cached. */
export class Access {
  readonly #options: AccessOptions;
  readonly #public: ExpiringMap<boolean>;
  /** What could not be found out, by what was asked for. */
  readonly #unclear: ExpiringMap<true>;
  readonly #confirmed: ExpiringMap<true>;
  readonly #questions = new SingleFlight<boolean>();
  /** What is being asked whether it is public. */
  readonly #asking = new Map<string, { isRefused: boolean }>();
  readonly #confirmations = new SingleFlight<void>();

  constructor(options: AccessOptions) {
    const now = (): number => options.clock.now();
    this.#options = options;
    this.#public = new ExpiringMap(10_000, now);
    this.#unclear = new ExpiringMap(10_000, now);
    this.#confirmed = new ExpiringMap(10_000, now);
  }

  /** Whether cached content needs the upstream's consent for each client. */
  isPerClient(image: UpstreamImage): boolean {
    return neededOpening(image) === "clients";
  }

  /**
   * Who asks for something. The mirror's own login only for names that are public, or that it is shared for; while it cannot be
   * found out whether one is public, it is asked for like any other, without a login.
   *
   * @param resource - what is asked for, as the upstream's path has it behind the name
   * @param authorization - the client's own, used with pass-through only
   * @throws {UpstreamError} code `denied` when the name is not public and must be
   */
  async askerFor(
    image: UpstreamImage,
    resource: string,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Asker> {
    const { access, credentials } = image.upstream.options;
    const needed = neededOpening(image);
    if (needed === "clients") return authorization === undefined ? "anonymous" : { authorization };
    if (needed === "mirror") return "configured";
    if (credentials === undefined) return "anonymous";
    const isPublic = await this.#isPublic(image, resource, signal);
    return isPublic && access !== "shared" ? "configured" : "anonymous";
  }

  /**
   * Asks the upstream whether a client may have something that is cached; believes a yes for a minute.
   *
   * @throws {UpstreamError} it may not, or it cannot be found out
   */
  async confirm(image: UpstreamImage, resource: string, asker: Asker, signal: AbortSignal): Promise<void> {
    const key = `${imageKey(image)} ${resource} ${askerKey(asker)}`;
    if (this.#confirmed.get(key) === true) return;
    const { result } = this.#confirmations.run(key, async () => {
      await this.#headInTime(image, resource, asker);
      this.#confirmed.set(key, true, confirmedMs);
    });
    await orAbort(result, signal);
  }

  /** Does not take a name for public any more before it was asked for anew. */
  forgetPublic(image: UpstreamImage): void {
    const key = this.#options.openings.eraKeyOf(image);
    this.#public.delete(key);
    const question = this.#asking.get(key);
    if (question !== undefined) question.isRefused = true;
  }

  /**
   * @returns false when the upstream does not say
   * @throws {UpstreamError} code `denied`
   */
  async #isPublic(image: UpstreamImage, resource: string, signal: AbortSignal): Promise<boolean> {
    const key = this.#options.openings.eraKeyOf(image);
    const known = this.#public.get(key);
    if (known === true) return true;
    if (known === false) throw notPublic(image);
    if (this.#unclear.get(`${key} ${resource}`) === true) return false;
    const { result } = this.#questions.run(key, async () => {
      const question = { isRefused: false };
      this.#asking.set(key, question);
      try {
        await this.#headInTime(image, resource, "anonymous");
        // It may have been withdrawn since the upstream said so.
        if (question.isRefused || key !== this.#options.openings.eraKeyOf(image)) return false;
        this.#public.set(key, true, publicMs);
        return true;
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        if (error.code === "denied") {
          this.#options.withdrawals.noteFailure(image, error);
          this.#public.set(this.#options.openings.eraKeyOf(image), false, privateMs);
          throw notPublic(image);
        }
        const lifetimeMs = negativeLifetime(error, resource.includes(":"));
        if (lifetimeMs > 0) this.#unclear.set(`${key} ${resource}`, true, lifetimeMs);
        return false;
      } finally {
        this.#asking.delete(key);
      }
    });
    return orAbort(result, signal);
  }

  /** Others may wait for it, too, so it does not end with the client that began it. */
  #headInTime(image: UpstreamImage, resource: string, asker: Asker): Promise<void> {
    const late = (): Error => lateAnswerOf(image.upstream);
    const { clock, limits } = this.#options;
    return withDeadline(clock, limits.manifestTotalMs, late, (signal) => this.#head(image, resource, asker, signal));
  }

  async #head(image: UpstreamImage, resource: string, asker: Asker, signal: AbortSignal): Promise<void> {
    const kind = resource.startsWith("blobs/") ? "blob" : resource.startsWith("manifests/") ? "manifest" : "list";
    const answer = await this.#options.clientOf(image).send({
      method: kind === "list" ? "GET" : "HEAD",
      resource,
      name: image.name,
      kind,
      asker,
      headers: { accept: manifestAccept },
      // Less than everything together, so that who is silent is known for it.
      withinMs: this.#options.limits.manifestMs,
      signal,
    });
    answer.discard();
  }
}

function notPublic({ upstream }: UpstreamImage): UpstreamError {
  return new UpstreamError({
    code: "denied",
    upstream: upstream.id,
    reason: "the name is not public (access, sharedNames)",
  });
}

const confirmedMs = 60_000;
const publicMs = 24 * 60 * 60_000;
const privateMs = 30_000;
