import type { RequestJobResult } from "../client.ts";
import { FailurePause } from "./failure-pause.ts";
import { RunnerHealth } from "./health.ts";
import type { JobNumbers } from "./job-numbers.ts";
import { RequestLimit } from "./request-limit.ts";
import type { JobAssignment, PolledRunner } from "./types.ts";

/** What the loop remembers about one runner; outlives a change of the configuration. */
export class RunnerState<Runner extends PolledRunner> {
  runner: Runner;
  readonly health: RunnerHealth;
  readonly requestLimit: RequestLimit = new RequestLimit();
  readonly failurePause: FailurePause = new FailurePause();
  /** Stays away from the coordinator for a while. */
  isPausing = false;
  /** There was a job last time, so there may be another one: to be asked before its turn. */
  isHungry = false;
  /** The last answer was a job. */
  gotJob = false;
  openRequests = 0;
  /** Epoch milliseconds. */
  askedAt: number = Number.NEGATIVE_INFINITY;
  readonly numbers: JobNumbers;
  #runningJobs = 0;

  /** @param numbers - shared with every other runner of the same URL and token */
  constructor(runner: Runner, numbers: JobNumbers, now: number) {
    this.runner = runner;
    this.numbers = numbers;
    this.health = new RunnerHealth(now);
  }

  get runningJobs(): number {
    return this.#runningJobs;
  }

  /** Whether nothing goes on, so that the state of a removed runner can be dropped. */
  get isIdle(): boolean {
    return this.#runningJobs === 0 && this.openRequests === 0 && !this.isPausing;
  }

  /** Whether a job may be asked for now. An open request may bring a job, so it counts against the limit, too. */
  mayAsk(now: number, adaptive: boolean): boolean {
    const { limit = 0, requestConcurrency = 1 } = this.runner;
    if (this.isPausing || !this.health.mayAsk(this.runner, now)) return false;
    if (limit > 0 && this.#runningJobs + this.openRequests >= limit) return false;
    return this.openRequests < this.requestLimit.effective(requestConcurrency, adaptive);
  }

  /** @returns milliseconds to stay away; 0 for the usual turn */
  hear(answer: RequestJobResult, facts: { now: number; checkIntervalMs: number; random: number }): number {
    this.gotJob = answer.job !== undefined;
    this.requestLimit.hear({ gotJob: this.gotJob, throttled: answer.throttled }, this.runner.requestConcurrency ?? 1);
    this.health.hear(answer.healthy, facts.now);
    return this.failurePause.hear(answer.status, facts.checkIntervalMs, facts.random);
  }

  startJob(projectId: number): { readonly assignment: JobAssignment; end(): void } {
    const { assignment, free } = this.numbers.take(projectId);
    this.#runningJobs += 1;
    return {
      assignment,
      end: () => {
        free();
        this.#runningJobs -= 1;
      },
    };
  }
}
