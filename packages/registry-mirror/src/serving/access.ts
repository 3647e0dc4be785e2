import { createHash } from "node:crypto";
import { withDeadline } from "../clock.ts";
import type { Clock } from "../clock.ts";
import { UpstreamError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";
import type { TimeLimits } from "../options.ts";
import { manifestAccept } from "../reference/manifest.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { orAbort, SingleFlight } from "../single-flight.ts";
import type { Asker, UpstreamClient } from "../upstream/client.ts";

/** Decides in whose name an upstream is asked, and who may have what is cached. */
export class Access {
  readonly #clientOf: (image: UpstreamImage) => UpstreamClient;
  readonly #clock: Clock;
  readonly #totalMs: number;
  readonly #public: ExpiringMap<boolean>;
  readonly #confirmed: ExpiringMap<true>;
  readonly #checks = new SingleFlight<void>();

  constructor(
    clientOf: (image: UpstreamImage) => UpstreamClient,
    clock: Clock,
    { manifestTotalMs }: Pick<Required<TimeLimits>, "manifestTotalMs">,
  ) {
    const now = (): number => clock.now();
    this.#clientOf = clientOf;
    this.#clock = clock;
    this.#totalMs = manifestTotalMs;
    this.#public = new ExpiringMap(10_000, now);
    this.#confirmed = new ExpiringMap(10_000, now);
  }

  /** Whether cached content needs the upstream's consent for each client. */
  isPerClient({ upstream }: UpstreamImage): boolean {
    return upstream.options.access === "pass-through";
  }

  /**
   * Who asks for something.
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
    const { access = "public", credentials } = image.upstream.options;
    if (access === "pass-through") return authorization === undefined ? "anonymous" : { authorization };
    if (credentials === undefined) return "anonymous";
    if (access === "shared") return image.upstream.sharedNames.matches(image.name) ? "configured" : "anonymous";
    await this.#checkPublic(image, resource, signal);
    return "configured";
  }

  /**
   * Asks the upstream whether a client may have something that is cached; believes a yes for a minute.
   *
   * @throws {UpstreamError} it may not, or it cannot be found out
   */
  async confirm(image: UpstreamImage, resource: string, asker: Asker, signal: AbortSignal): Promise<void> {
    const key = `${image.upstream.id} ${image.name} ${resource} ${askerKey(asker)}`;
    if (this.#confirmed.get(key) === true) return;
    const { result } = this.#checks.run(key, async () => {
      await this.#headInTime(image, resource, asker);
      this.#confirmed.set(key, true, confirmedMs);
    });
    await orAbort(result, signal);
  }

  async #checkPublic(image: UpstreamImage, resource: string, signal: AbortSignal): Promise<void> {
    const key = `${image.upstream.id} ${image.name}`;
    const denied = (): UpstreamError =>
      new UpstreamError({
        code: "denied",
        upstream: image.upstream.id,
        reason: "the name is not public (access, sharedNames)",
      });
    const known = this.#public.get(key);
    if (known === true) return;
    if (known === false) throw denied();
    const { result } = this.#checks.run(`public ${key}`, async () => {
      try {
        await this.#headInTime(image, resource, "anonymous");
        this.#public.set(key, true, publicMs);
      } catch (error) {
        if (!(error instanceof UpstreamError) || error.code !== "denied") throw error;
        this.#public.set(key, false, privateMs);
        throw denied();
      }
    });
    await orAbort(result, signal);
  }

  /** Others may wait for it, too, so it does not end with the client that began it. */
  #headInTime(image: UpstreamImage, resource: string, asker: Asker): Promise<void> {
    const late = (): Error =>
      new UpstreamError({ code: "timeout", upstream: image.upstream.id, reason: "it did not answer in time" });
    return withDeadline(this.#clock, this.#totalMs, late, (signal) => this.#head(image, resource, asker, signal));
  }

  async #head(image: UpstreamImage, resource: string, asker: Asker, signal: AbortSignal): Promise<void> {
    const kind = resource.startsWith("blobs/") ? "blob" : resource.startsWith("manifests/") ? "manifest" : "list";
    const method = kind === "list" ? "GET" : "HEAD";
    const answer = await this.#clientOf(image).send({
      method,
      resource,
      name: image.name,
      kind,
      asker,
      headers: { accept: manifestAccept },
      signal,
    });
    answer.discard();
  }
}

/** Tells askers apart without holding their logins. */
export function askerKey(asker: Asker): string {
  return typeof asker === "object" ? createHash("sha256").update(asker.authorization).digest("base64url") : asker;
}

const confirmedMs = 60_000;
const publicMs = 24 * 60 * 60_000;
const privateMs = 30_000;
