import { join } from "node:path";
import { type Logger, Secret, shortToken } from "@fleetfoot/coordinator-client";
import type { DockerExecutor } from "@fleetfoot/executor-docker";
import type { RunnerDocker } from "@fleetfoot/runner-config";
import { defined } from "../defined.ts";
import { gitlabImages } from "./gitlab-images.ts";
import type { JobExecutor } from "./job-executor.ts";

export interface DockerExecutorPlace {
  readonly token: string;
  readonly systemId: string;
  /** Tells the jobs of this process from those of another one with the same token here. */
  readonly instance: string;
  /** Absolute; files of jobs lie in `docker/` below it. */
  readonly workingDirectory: string;
  readonly docker: Partial<RunnerDocker> | undefined;
  /** In front of images of Docker Hub; may have variables in it. @default nothing */
  readonly imagePrefix?: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** Jobs that run in this process. */
  readonly runningJobs: Set<number>;
  /** Images and volumes that jobs of this process use. */
  readonly held: Map<string, number>;
  readonly logger: Logger;
}

/** How often is looked for what killed runners have left. */
const SWEEP_INTERVAL_MS = 3_600_000;

/** Makes the executor of a runner with containers. Its code is loaded at once, but only where there is such a runner. */
export function createDockerJobExecutor(place: DockerExecutorPlace): JobExecutor {
  const { logger } = place;
  const loaded = load(place);
  // Told by the first job, too.
  loaded.catch(() => undefined);
  const over = new AbortController();
  const sweep = (): Promise<void> => sweepOnce(loaded, over.signal, logger);
  const collect = (): Promise<void> => collectOnce(loaded, over.signal, logger);
  const first = sweep();
  // No job waits for that.
  void first.then(collect);
  const timer = setInterval(() => void sweep().then(collect), SWEEP_INTERVAL_MS);
  timer.unref();
  return {
    name: "docker",
    prepare: async (request) => {
      // What an earlier process has left may have the names of this job's things.
      await unlessAborted(first, request.signal);
      return (await loaded).prepare(request);
    },
    // The engine ends nothing in no time; the next process sweeps.
    killAll: () => undefined,
    close: async () => {
      clearInterval(timer);
      over.abort(new Error("the runner ends"));
      await (await loaded.catch(() => undefined))?.close();
    },
  };
}

async function load(place: DockerExecutorPlace): Promise<DockerExecutor> {
  const { createDockerExecutor } = await import("@fleetfoot/executor-docker");
  const { docker, environment, systemId, instance } = place;
  const token = new Secret(place.token);
  const short = shortToken(place.token);
  return createDockerExecutor({
    engine: defined({
      host: docker?.host ?? environment["DOCKER_HOST"],
      tlsVerify: docker?.tlsVerify ?? isSet(environment["DOCKER_TLS_VERIFY"]),
      tlsCertificatePath: docker?.tlsCertificatePath ?? environment["DOCKER_CERT_PATH"],
    }),
    runner: { token, shortToken: short, systemId },
    hostDirectory: join(place.workingDirectory, "docker", `${short}-${instance}`),
    settings: docker ?? {},
    environment,
    runningJobs: place.runningJobs,
    held: place.held,
    ...(await gitlabImages(place.imagePrefix)),
    ...defined({ homeDirectory: environment["HOME"], keyLogFile: environment["FLEETFOOT_ENGINE_KEYLOG"] }),
  });
}

/** @returns undefined for none, so that the default counts */
function isSet(value: string | undefined): boolean | undefined {
  return value === undefined || value === "" ? undefined : true;
}

async function sweepOnce(loaded: Promise<DockerExecutor>, signal: AbortSignal, logger: Logger): Promise<void> {
  try {
    const removed = await (await loaded).sweep({ signal });
    if (removed.containers + removed.networks + removed.volumes > 0) {
      logger.info("Removed what earlier jobs have left on the Docker engine", { ...removed });
    }
  } catch (error) {
    if (!signal.aborted) logger.warn("The Docker engine could not be swept", { error: String(error) });
  }
}

async function collectOnce(loaded: Promise<DockerExecutor>, signal: AbortSignal, logger: Logger): Promise<void> {
  if (signal.aborted) return;
  try {
    const unused = await (await loaded).collectGarbage({ signal });
    if (unused.volumes + unused.images > 0) {
      logger.info("Removed what no job used any longer on the Docker engine", { ...unused });
    }
  } catch (error) {
    if (!signal.aborted) {
      logger.warn("What no job uses any longer could not be removed from the Docker engine", { error: String(error) });
    }
  }
}

/** The sweep goes on without whoever waits for it. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
