import type { JobBelongings } from "../container/cleanup.ts";
import { ContainerLostError, ScriptNotRunError } from "../errors.ts";
import type { ExecutorContext } from "../executor-context.ts";
import type { DockerEnvironment, DockerExit, DockerPrepareRequest, DockerRunRequest } from "../types.ts";
import { runStage } from "./run-stage.ts";
import type { StageEnd } from "./run-stage.ts";

export interface ScriptRunnerOptions {
  readonly context: ExecutorContext;
  readonly request: DockerPrepareRequest;
  readonly belongings: JobBelongings;
  readonly containerId: string;
  readonly containerName: string;
  /** As it was asked for. */
  readonly image: string;
  /** Makes another container like the first one. */
  readonly recreate: () => Promise<string>;
  /** Whether the container sees only its own processes. */
  readonly ownProcesses: boolean;
}

/** Runs scripts in one container, started again for each of them: its root file system stays, its processes do not. */
export function createScriptRunner(options: ScriptRunnerOptions): DockerEnvironment["run"] {
  const { context, request, belongings } = options;
  const { engine, options: settings } = context;
  const attempts = sectionAttempts(request);
  let { containerId } = options;
  let delivered = { stdout: 0, stderr: 0 };

  const runOnce = (run: DockerRunRequest): Promise<StageEnd> =>
    runStage({
      engine,
      containerId,
      containerName: options.containerName,
      script: run.script,
      random: settings.randomHex(16),
      sink: run,
      delivered,
      ownProcesses: options.ownProcesses,
      stopGraceMs: settings.stopGraceMs,
      reconnectMs: settings.reconnectMs,
      silenceCheckMs: settings.silenceCheckMs,
      sleep: settings.sleep,
      now: settings.now,
      signal: run.signal,
    });
  return async (order): Promise<DockerExit> => {
    for (let tried = 1; ; tried += 1) {
      try {
        const { code, hasBegun } = await runOnce(order);
        if (!hasBegun && !order.signal.aborted) tellOfNoScript(code, options);
        return { code, text: `exit code ${code}` };
      } catch (error) {
        order.signal.throwIfAborted();
        if (!(error instanceof ContainerLostError) || tried >= attempts) throw error;
        request.warn(`${error.message}. Retrying...`);
        await belongings.removeContainer(containerId);
        containerId = await options.recreate();
        delivered = { stdout: 0, stderr: 0 };
      }
    }
  };
}

/** Its exit code alone says nothing of the script. @throws {ScriptNotRunError} it looks like success */
function tellOfNoScript(code: number, { image, request }: ScriptRunnerOptions): void {
  const failure = new ScriptNotRunError(image, code);
  if (code === 0) throw failure;
  request.warn(failure.message);
}

const MOST_ATTEMPTS = 10;

/** How often a stage runs whose container somebody removes. @see job-execution 1.3 */
function sectionAttempts({ lookupContent, warn }: DockerPrepareRequest): number {
  const text = lookupContent(ATTEMPTS) ?? "";
  if (text === "") return 1;
  const wanted = Number(text);
  const used = Number.isInteger(wanted) ? Math.min(Math.max(wanted, 1), MOST_ATTEMPTS) : 1;
  if (used !== wanted) {
    warn(`${ATTEMPTS}: ${JSON.stringify(text)} is no number from 1 to ${MOST_ATTEMPTS}; ${used} is used`);
  }
  return used;
}

const ATTEMPTS = "EXECUTOR_JOB_SECTION_ATTEMPTS";
