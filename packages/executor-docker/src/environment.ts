import type { JobBelongings } from "./container/cleanup.ts";
import { ContainerLostError } from "./errors.ts";
import type { ExecutorContext } from "./prepare-job.ts";
import { runStage } from "./stage/run-stage.ts";
import type {
  DockerEnvironment,
  DockerExit,
  DockerPrepareRequest,
  DockerRunRequest,
  DockerWorkspace,
} from "./types.ts";

export interface EnvironmentParts {
  readonly context: ExecutorContext;
  readonly request: DockerPrepareRequest;
  readonly belongings: JobBelongings;
  readonly containerId: string;
  readonly containerName: string;
  /** Makes another container like the first one. */
  readonly recreate: () => Promise<string>;
  readonly ownProcesses: boolean;
  readonly description: string;
  readonly networkName: string | undefined;
  readonly workspace: DockerWorkspace;
  readonly removeFromHost: () => Promise<void>;
}

/** One container, started again for each script: its root file system stays, its processes do not. */
export function createDockerEnvironment(parts: EnvironmentParts): DockerEnvironment {
  const { context, request, belongings } = parts;
  const { engine, options } = context;
  const attempts = sectionAttempts(request);
  let containerId = parts.containerId;
  let delivered = { stdout: 0, stderr: 0 };

  const runOnce = (run: DockerRunRequest): Promise<number> =>
    runStage({
      engine,
      containerId,
      containerName: parts.containerName,
      script: run.script,
      sink: run,
      delivered,
      ownProcesses: parts.ownProcesses,
      stopGraceMs: options.stopGraceMs,
      reconnectMs: options.reconnectMs,
      silenceCheckMs: options.silenceCheckMs,
      sleep: options.sleep,
      now: options.now,
      signal: run.signal,
    });
  const run = async (order: DockerRunRequest): Promise<DockerExit> => {
    for (let tried = 1; ; tried += 1) {
      try {
        const code = await runOnce(order);
        return { code, text: `exit code ${code}` };
      } catch (error) {
        order.signal.throwIfAborted();
        if (!(error instanceof ContainerLostError) || tried >= attempts) throw error;
        request.warn(`${error.message}. Retrying...`);
        await belongings.removeContainer(containerId);
        containerId = await parts.recreate();
        delivered = { stdout: 0, stderr: 0 };
      }
    }
  };
  return {
    workspace: parts.workspace,
    variables: {
      CI_DISPOSABLE_ENVIRONMENT: "true",
      ...(parts.networkName === undefined ? {} : { CI_BUILD_NETWORK_NAME: parts.networkName }),
    },
    description: parts.description,
    run,
    cleanup: async () => {
      // The containers first: they may still have the directories mounted.
      const results = [
        ...(await Promise.allSettled([belongings.remove()])),
        ...(await Promise.allSettled([parts.removeFromHost()])),
      ];
      const failure = results.find((result) => result.status === "rejected");
      if (failure !== undefined) throw failure.reason;
    },
  };
}

const MOST_ATTEMPTS = 10;

/** How often a stage runs whose container somebody removes. @see job-execution 1.3 */
function sectionAttempts({ lookupContent }: DockerPrepareRequest): number {
  const wanted = Number(lookupContent("EXECUTOR_JOB_SECTION_ATTEMPTS") ?? "1");
  return Number.isInteger(wanted) ? Math.min(Math.max(wanted, 1), MOST_ATTEMPTS) : 1;
}
