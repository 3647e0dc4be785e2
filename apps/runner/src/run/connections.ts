import type { CoordinatorClient, Logger } from "@fleetfoot/coordinator-client";
import type { RunnerConfig, RunnerEntry } from "@fleetfoot/runner-config";
import type { ChildGroups } from "../executors/child-groups.ts";
import { connect, type NetworkSettings } from "../instance/connect.ts";
import { imagePrefixOf } from "../executors/gitlab-images.ts";
import { createExecutor } from "../executors/executors.ts";
import type { JobExecutor } from "../executors/job-executor.ts";
import type { RunnerObserver } from "./observer.ts";

/** What requests and jobs of one runner need. */
export interface Connection {
  readonly client: CoordinatorClient;
  readonly executor: JobExecutor;
  /** Keeps it open until it is released, also when its runner is removed in the meantime. A further release changes nothing. */
  hold(): { release(): void };
}

/** The connections of all runners, kept over changes of the configuration. */
export interface Connections {
  /** The connection of a runner, always the same one while the runner stays the same; undefined when its executor is not supported. */
  of(entry: RunnerEntry, shared: SharedSettings): Connection | undefined;
  /** Closes all others, each as soon as nobody holds it. */
  keepOnly(config: SharedSettings & Pick<RunnerConfig, "runners">): void;
  /** Kills what the jobs of all runners have started, before it returns. */
  killAll(): void;
  /** Breaks all of them. */
  close(): Promise<void>;
}

/** What all runners of a configuration have in common. */
type SharedSettings = Pick<RunnerConfig, "connectionMaxAgeMs">;

interface OpenConnection extends Connection {
  holders: number;
  isWanted: boolean;
}

export function openConnections(options: {
  readonly environment: Readonly<Record<string, string>>;
  readonly systemId: string;
  /** Tells the jobs of this process from those of another one with the same token here. */
  readonly instance: string;
  readonly workingDirectory: string;
  readonly network: NetworkSettings;
  /** Starts the processes of jobs. */
  readonly spawn: ChildGroups["spawn"];
  readonly logger: Logger;
  readonly observer: Pick<RunnerObserver, "clientOf">;
}): Connections {
  const { network, logger, observer } = options;
  const executorPlace = { ...options, held: new Map<string, number>() };
  // Two coordinators may give jobs the same number; the executors that follow each other for one runner share its jobs.
  const runningJobs = new Map<string, Set<number>>();
  const open = new Map<string, OpenConnection>();

  function connectionOf(entry: RunnerEntry, shared: SharedSettings): OpenConnection | undefined {
    const running = runningJobs.get(entry.token) ?? new Set();
    runningJobs.set(entry.token, running);
    const executor = createExecutor(entry, { ...executorPlace, runningJobs: running });
    if (executor === undefined) return undefined;
    const connection: OpenConnection = {
      client: connect(entry, network, logger, shared.connectionMaxAgeMs, observer.clientOf(entry)),
      executor,
      holders: 0,
      isWanted: true,
      hold() {
        connection.holders += 1;
        let isHeld = true;
        return {
          release() {
            if (!isHeld) return;
            isHeld = false;
            connection.holders -= 1;
            closeUnused();
          },
        };
      },
    };
    return connection;
  }

  function closeUnused(): void {
    for (const [key, { client, executor, holders, isWanted }] of open) {
      if (isWanted || holders > 0) continue;
      open.delete(key);
      Promise.all([client.close(), executor.close()]).catch((error: unknown) =>
        logger.warn("The connections of a removed runner stay open", { error }),
      );
    }
  }

  return {
    of(entry, shared) {
      const key = keyOf(entry, shared);
      const known = open.get(key);
      if (known !== undefined) return known;
      const made = connectionOf(entry, shared);
      if (made !== undefined) open.set(key, made);
      return made;
    },
    keepOnly(config) {
      const wanted = new Set(config.runners.map((entry) => keyOf(entry, config)));
      for (const [key, connection] of open) connection.isWanted = wanted.has(key);
      closeUnused();
    },
    killAll() {
      for (const { executor } of open.values()) executor.killAll();
    },
    async close() {
      await Promise.allSettled(
        [...open.values()].flatMap(({ client, executor }) => [client.close({ force: true }), executor.close()]),
      );
    },
  };
}

function keyOf(entry: RunnerEntry, { connectionMaxAgeMs }: SharedSettings): string {
  const { url, token, executor, shell, tlsCaFile, tlsCertificateFile, tlsKeyFile, docker, environment } = entry;
  const tls = [tlsCaFile, tlsCertificateFile, tlsKeyFile];
  return JSON.stringify([url, token, executor, shell, ...tls, connectionMaxAgeMs, docker, imagePrefixOf(environment)]);
}
