import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { removeContainer } from "./job-container.ts";

/** What was made for one job, in the order in which it goes. */
export class JobBelongings {
  readonly #engine: Engine;
  readonly #keepAnonymousVolumes: boolean;
  readonly #containers = new Set<string>();
  readonly #volumes = new Set<string>();
  readonly #networks = new Set<string>();

  constructor(engine: Engine, keepAnonymousVolumes: boolean) {
    this.#engine = engine;
    this.#keepAnonymousVolumes = keepAnonymousVolumes;
  }

  container(id: string): void {
    this.#containers.add(id);
  }

  volume(name: string): void {
    this.#volumes.add(name);
  }

  network(name: string): void {
    this.#networks.add(name);
  }

  async removeContainer(id: string): Promise<void> {
    await removeContainer(this.#engine, id, !this.#keepAnonymousVolumes);
    this.#containers.delete(id);
  }

  /**
   * Removes all of it, whatever fails.
   *
   * @throws {AggregateError} something could not be removed
   */
  async remove(): Promise<void> {
    const failures: unknown[] = [];
    const all = async (names: Iterable<string>, remove: (name: string) => Promise<unknown>): Promise<void> => {
      const results = await Promise.allSettled([...names].map(remove));
      for (const result of results) if (result.status === "rejected") failures.push(result.reason);
    };
    await all(this.#containers, (id) => this.removeContainer(id));
    await Promise.all([
      all(this.#volumes, (name) => removeVolume(this.#engine, name)),
      all(this.#networks, (name) => removeNetwork(this.#engine, name)),
    ]);
    if (failures.length > 0) {
      const [first] = failures;
      throw new AggregateError(failures, `${failures.length} things of the job could not be removed: ${String(first)}`);
    }
  }
}

export async function removeVolume(engine: Engine, name: string): Promise<void> {
  await unlessMissing(engine.call("remove a volume", (docker) => docker.getVolume(name).remove()));
}

/** A network that still has containers on it cannot be removed, so they go first. */
export async function removeNetwork(engine: Engine, name: string): Promise<void> {
  await unlessMissing(
    engine.call("remove a network", async (docker) => {
      const network = docker.getNetwork(name);
      const facts = (await network.inspect()) as { readonly Containers?: Readonly<Record<string, unknown>> };
      for (const id of Object.keys(facts.Containers ?? {})) await removeContainer(engine, id, true);
      await network.remove();
    }),
  );
}

async function unlessMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
