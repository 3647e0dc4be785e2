import type { RequestJobResult } from "../client.ts";
import { noopLogger } from "../logger.ts";
import type { JobPayload } from "../payload.ts";
import { sleep as timerSleep } from "../retry/sleep.ts";
import { Roster } from "./roster.ts";
import type { RunnerState } from "./runner-state.ts";
import type { JobAssignment, PolledRunner, Poller, PollingConfig, PollingOptions } from "./types.ts";

const DEFAULT_CHECK_INTERVAL_MS = 3000;

/**
 * Starts to ask for jobs, one runner after the other, and hands them out.
 *
 * Room for a job is taken before the coordinator is asked, so no job is ever accepted that cannot start; while all room
 * is taken, nobody asks. A runner that got a job is asked again at once, and so it is when the job has ended, since
 * where one job was there often are more; runners that did not have their turn for an interval come first then.
 *
 * @throws {RangeError} `concurrent` is no integer of at least 1
 * @see coordinator-protocol 11
 */
export function startPolling<Runner extends PolledRunner>(options: PollingOptions<Runner>): Poller<Runner> {
  const { request, dispatch, acquire = alwaysRoom, logger = noopLogger } = options;
  const { now = Date.now, sleep = timerSleep, random = Math.random } = options;
  const roster = new Roster<Runner>();
  const stopping = new AbortController();
  const cancelling = new AbortController();
  const workers = new Set<Promise<void>>();
  let config = checkConfig(options);
  let nextTurnAt = now();
  let wake = (): void => {};
  takeOver(options);
  const feeding = feed();

  async function feed(): Promise<void> {
    while (!stopping.signal.aborted) {
      const state = workers.size < config.concurrent ? pickRunner() : undefined;
      if (state !== undefined) offer(state);
      else await rest(workers.size < config.concurrent && roster.size > 0 ? nextTurnAt - now() : undefined);
    }
  }

  function pickRunner(): RunnerState<Runner> | undefined {
    if (now() < nextTurnAt) return roster.takeHungry(now() - config.checkIntervalMs);
    nextTurnAt = now() + config.checkIntervalMs / Math.max(roster.size, 1);
    return roster.takeTurn();
  }

  /** Waits for a time, or for as long as it takes, until something has changed. */
  async function rest(ms: number | undefined): Promise<void> {
    const nap = new AbortController();
    const woken = new Promise<void>((resolve) => {
      wake = () => {
        nap.abort();
        resolve();
      };
    });
    if (ms === undefined) return woken;
    try {
      await sleep(Math.max(ms, 0), nap.signal);
    } catch (error) {
      if (!nap.signal.aborted) throw error;
    }
  }

  function offer(state: RunnerState<Runner>): void {
    state.isHungry = false;
    if (stopping.signal.aborted || workers.size >= config.concurrent) return;
    if (!state.mayAsk(now(), config.adaptiveRequestConcurrency)) return;
    state.askedAt = now();
    state.openRequests += 1;
    const worker = work(state).finally(() => {
      workers.delete(worker);
      wake();
    });
    workers.add(worker);
  }

  async function work(state: RunnerState<Runner>): Promise<void> {
    // Room, request and job belong together, also when a new configuration describes the runner anew in the meantime.
    const { runner } = state;
    const room = await takeRoom(runner);
    const answer = room === undefined || stopping.signal.aborted ? undefined : await ask(state, runner);
    state.openRequests -= 1;
    if (answer?.job !== undefined) await run(state, runner, answer.job, answer);
    room?.release();
  }

  async function takeRoom(runner: Runner): Promise<{ release(): void } | undefined> {
    try {
      return await acquire(runner, { signal: stopping.signal });
    } catch (error) {
      if (!stopping.signal.aborted) logger.error("No room for a job could be made", { runner: runner.name, error });
      return undefined;
    }
  }

  async function ask(state: RunnerState<Runner>, runner: Runner): Promise<RequestJobResult | undefined> {
    try {
      const answer = await request(runner, { signal: cancelling.signal });
      const pauseMs = state.hear(answer, { now: now(), checkIntervalMs: config.checkIntervalMs, random: random() });
      if (state.health.isExhausted(state.runner)) {
        logger.warn("A runner is refused again and again and is not asked for a while", { runner: runner.name });
      }
      if (pauseMs > 0) void pauseRunner(state, pauseMs);
      return answer;
    } catch (error) {
      if (!cancelling.signal.aborted) logger.error("A job request failed", { runner: runner.name, error });
      return undefined;
    }
  }

  async function pauseRunner(state: RunnerState<Runner>, ms: number): Promise<void> {
    state.isPausing = true;
    logger.info("Job requests fail, pausing", { runner: state.runner.name, pauseMs: Math.round(ms) });
    try {
      await sleep(ms, stopping.signal);
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
    }
    state.isPausing = false;
    if (roster.has(state)) offer(state);
  }

  async function run(
    state: RunnerState<Runner>,
    runner: Runner,
    job: JobPayload,
    answer: RequestJobResult,
  ): Promise<void> {
    const { rejection, certificates } = answer;
    const { assignment, end } = state.startJob(job.job_info.project_id);
    const running = dispatchJob(runner, job, {
      ...assignment,
      ...(rejection === undefined ? {} : { rejection }),
      ...(certificates === undefined ? {} : { certificates }),
    });
    askAgain(state);
    await running;
    end();
    if (state.gotJob) markHungry(state);
  }

  async function dispatchJob(runner: Runner, job: JobPayload, assignment: JobAssignment): Promise<void> {
    try {
      await dispatch(runner, job, assignment);
    } catch (error) {
      logger.error("A job ended in an unexpected way", { runner: runner.name, job: job.id, error });
    }
  }

  /** At once where there is room; where there is none, as soon as there is. */
  function askAgain(state: RunnerState<Runner>): void {
    if (workers.size < config.concurrent && state.runner.strictCheckInterval !== true) offer(state);
    else markHungry(state);
  }

  function markHungry(state: RunnerState<Runner>): void {
    state.isHungry = state.runner.strictCheckInterval !== true && roster.has(state);
  }

  function takeOver(wanted: PollingConfig<Runner>): void {
    const blank = wanted.runners.filter((runner) => runner.token.reveal().trim() === "");
    for (const runner of blank) logger.warn("A runner without a token is skipped", { runner: runner.name });
    roster.replace(
      wanted.runners.filter((runner) => !blank.includes(runner)),
      now(),
    );
  }

  async function stopped(): Promise<void> {
    await feeding;
    while (workers.size > 0) await Promise.all(workers);
  }

  return {
    get runningJobs() {
      return roster.runningJobs;
    },
    update(wanted) {
      config = checkConfig(wanted);
      takeOver(wanted);
      nextTurnAt = now();
      wake();
    },
    stop({ cancelRequests = false } = {}) {
      stopping.abort();
      if (cancelRequests) cancelling.abort();
      wake();
      return stopped();
    },
  };
}

function checkConfig(config: PollingConfig<PolledRunner>): {
  readonly concurrent: number;
  readonly checkIntervalMs: number;
  readonly adaptiveRequestConcurrency: boolean;
} {
  const { concurrent, checkIntervalMs = DEFAULT_CHECK_INTERVAL_MS, adaptiveRequestConcurrency = true } = config;
  if (!Number.isSafeInteger(concurrent) || concurrent < 1) {
    throw new RangeError(`concurrent must be an integer of at least 1, but is ${concurrent}`);
  }
  return {
    concurrent,
    checkIntervalMs: checkIntervalMs > 0 ? checkIntervalMs : DEFAULT_CHECK_INTERVAL_MS,
    adaptiveRequestConcurrency,
  };
}

function alwaysRoom(): Promise<{ release(): void }> {
  return Promise.resolve({ release: () => {} });
}
