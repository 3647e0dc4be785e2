import type { Engine } from "../engine/engine.ts";
import { isMissing } from "../engine/engine.ts";
import { removeContainer } from "./job-container.ts";
import type { Removal } from "./job-container.ts";

/** What was made for one job, in the order in which it goes. */
export class JobBelongings {
  readonly #engine: Engine;
  readonly #keepAnonymousVolumes: boolean;
  readonly #containers = new Set<string>();
  readonly #volumes = new Set<string>();
  readonly #networks = new Set<string>();
  readonly #onHost: (() => Promise<void>)[] = [];

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

  /** @param remove - lets go of something on this host; after the containers, which may have it mounted */
  onHost(remove: () => Promise<void>): void {
    this.#onHost.push(remove);
  }

  async removeContainer(id: string, signal?: AbortSignal): Promise<void> {
    await removeContainer(this.#engine, id, { withVolumes: !this.#keepAnonymousVolumes, signal });
    this.#containers.delete(id);
  }

  /**
   * Removes all of it, whatever fails.
   *
   * @param signal - nothing is waited for any longer
   * @throws {AggregateError} something could not be removed
   */
  async remove(signal?: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    const all = async <Item>(items: Iterable<Item>, remove: (item: Item) => Promise<unknown>): Promise<void> => {
      const results = await Promise.allSettled([...items].map(remove));
      for (const result of results) if (result.status === "rejected") failures.push(result.reason);
    };
    await all(this.#containers, (id) => this.removeContainer(id, signal));
    await Promise.all([
      all(this.#volumes, (name) => removeVolume(this.#engine, name, signal)),
      all(this.#networks, (name) =>
        removeNetwork(this.#engine, name, { withVolumes: !this.#keepAnonymousVolumes, signal }),
      ),
    ]);
    await all(this.#onHost, (remove) => remove());
    if (failures.length > 0) {
      const [first] = failures;
      throw new AggregateError(failures, `${failures.length} things of the job could not be removed: ${String(first)}`);
    }
  }
}

export async function removeVolume(engine: Engine, name: string, signal?: AbortSignal): Promise<void> {
  await unlessMissing(engine.call("remove a volume", (docker) => docker.getVolume(name).remove(), { signal }));
}

/** A network that still has containers on it cannot be removed, so they go first. */
export async function removeNetwork(engine: Engine, name: string, removal: Removal): Promise<void> {
  const { signal } = removal;
  const inspect = engine.call("inspect a network", (docker) => docker.getNetwork(name).inspect() as Promise<Network>, {
    signal,
  });
  await unlessMissing(
    inspect.then(async ({ Containers: containers }) => {
      for (const id of Object.keys(containers ?? {})) await removeContainer(engine, id, removal);
      await engine.call("remove a network", (docker) => docker.getNetwork(name).remove(), { signal });
    }),
  );
}

interface Network {
  readonly Containers?: Readonly<Record<string, unknown>>;
}

async function unlessMissing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
