import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

import { JobControl } from "./control.ts";
import type { SharedControl } from "./control.ts";
import { decodeFailure } from "./failure.ts";
import type { JoinMessage, LeftMessage } from "./serve-jobs.ts";
import type { Task } from "./task.ts";

/** More threads than these gain nothing, and each holds some 30 MB. */
const MAX_WORKERS = 8;
/** Long enough for the next cache of the same job, short enough to give the memory back. */
const IDLE_MS = 5000;
/**
 * Short-lived buffers are what fills a worker's memory, and a small nursery gives it back soon. The smallest one would copy what lives as long as
 * the job, such as tens of thousands of entries that are planned, over and over.
 */
const YOUNG_GENERATION_MB = 4;

/** Work for the pool. */
export interface PoolJob {
  readonly task: Task;
  readonly control: SharedControl;
  /** Most workers that may take part. */
  readonly concurrency: number;
  readonly signal: AbortSignal | undefined;
}

/** Threads cannot be started here: the host has none, or the worker's file is missing, as in a bundle. */
export class WorkersUnavailable extends Error {
  override readonly name = "WorkersUnavailable";
}

interface RunningJob extends PoolJob {
  readonly own: JobControl;
  /** By number in the job. */
  readonly members: Map<number, PooledWorker>;
  readonly settle: (job: RunningJob) => void;
  failure: unknown;
  result: unknown;
}

interface PooledWorker {
  readonly thread: Worker;
  /** Whether its program runs. */
  isReady: boolean;
  job: RunningJob | undefined;
  participant: number;
  idleTimer: NodeJS.Timeout | undefined;
}

/**
 * The threads that all archives of this process share. They start when they are needed, end when they have been idle for a
 * while, and keep no process alive. Jobs at the same time get equal shares of them, and each at least one, if need be one more
 * than there should be.
 */
export class WorkerPool {
  readonly #size: number;
  readonly #idleMs: number;
  readonly #workers = new Set<PooledWorker>();
  readonly #jobs = new Set<RunningJob>();

  constructor(options: { readonly size?: number; readonly idleMs?: number } = {}) {
    const { size = Math.min(availableParallelism(), MAX_WORKERS), idleMs = IDLE_MS } = options;
    this.#size = size;
    this.#idleMs = idleMs;
  }

  /** Threads that exist, idle ones included. */
  get threads(): number {
    return this.#workers.size;
  }

  /** Whether a thread waits for work, so that none has to be started. */
  get hasIdle(): boolean {
    return this.#workers.values().some(({ job }) => job === undefined);
  }

  /** Whether a thread has started and waits for work. */
  get hasReady(): boolean {
    return this.#workers.values().some(({ isReady, job }) => isReady && job === undefined);
  }

  /**
   * Starts threads for work that is about to come, so that they are ready when it is planned. What cannot be started now is told
   * by {@link run}.
   */
  prepare(threads: number): void {
    try {
      while (this.#workers.size < Math.min(threads, this.#size)) {
        const worker = this.#start(this.#size);
        if (worker === undefined) return;
        worker.thread.unref();
        this.#rest(worker);
      }
    } catch {
      // No work is lost yet, and the job that comes says why it cannot run.
    }
  }

  /**
   * Runs a job to its end. After an abort or a failure it settles when all its workers have left it.
   *
   * @returns what a worker had to say, which is one at most
   * @throws what a worker threw; the signal's reason; WorkersUnavailable
   */
  async run(job: PoolJob): Promise<unknown> {
    job.signal?.throwIfAborted();
    const own = new JobControl(job.control);
    const abort = (): void => {
      own.abort();
      // Without a worker nobody else would tell that it is over.
      this.#balance();
    };
    job.signal?.addEventListener("abort", abort, { once: true });
    try {
      const result = await new Promise<unknown>((resolve, reject) => {
        const settle = ({ failure, result }: RunningJob): void =>
          failure === undefined ? resolve(result) : reject(failure);
        this.#jobs.add({ ...job, own, members: new Map(), settle, failure: undefined, result: undefined });
        this.#balance();
      });
      if (!own.isFinal) job.signal?.throwIfAborted();
      return result;
    } finally {
      job.signal?.removeEventListener("abort", abort);
    }
  }

  /** Gives every job its share of the workers, and settles those that are over. */
  #balance(): void {
    for (const job of this.#jobs) this.#settleIfOver(job);
    const share = Math.max(1, Math.floor(this.#size / this.#jobs.size));
    for (const job of this.#jobs) {
      const wanted = Math.min(share, job.concurrency);
      job.own.share = wanted;
      for (let participant = 0; participant < wanted; participant += 1) {
        if (job.own.isAborted || job.own.isExhausted || job.members.has(participant)) continue;
        const worker = this.#idleWorker() ?? this.#startFor(job);
        if (worker === undefined) break;
        this.#join(worker, job, participant);
      }
      this.#settleIfOver(job);
    }
  }

  /** @returns undefined when there are enough threads, or when none can be started, which ends the job */
  #startFor(job: RunningJob): PooledWorker | undefined {
    try {
      // The others leave only after their unit, which may take long; a new job begins at once.
      const extra = job.members.size === 0 ? 1 : 0;
      return this.#start(Math.max(this.#size + extra, this.#jobs.size));
    } catch (error) {
      job.failure ??= error;
      job.own.fail();
      return undefined;
    }
  }

  #settleIfOver(job: RunningJob): void {
    if (job.members.size > 0 || !(job.own.isAborted || job.own.isComplete)) return;
    this.#jobs.delete(job);
    job.settle(job);
  }

  #idleWorker(): PooledWorker | undefined {
    return this.#workers.values().find(({ job }) => job === undefined);
  }

  #start(limit: number): PooledWorker | undefined {
    if (this.#workers.size >= limit) return undefined;
    const worker: PooledWorker = {
      thread: startThread(),
      isReady: false,
      job: undefined,
      participant: 0,
      idleTimer: undefined,
    };
    worker.thread.on("online", () => (worker.isReady = true));
    worker.thread.on("message", (message: LeftMessage) => this.#left(worker, message));
    worker.thread.on("error", (error) => this.#ended(worker, error));
    worker.thread.on("exit", () => this.#ended(worker, new Error("a worker thread ended")));
    this.#workers.add(worker);
    return worker;
  }

  #join(worker: PooledWorker, job: RunningJob, participant: number): void {
    clearTimeout(worker.idleTimer);
    worker.job = job;
    worker.participant = participant;
    job.members.set(participant, worker);
    worker.thread.ref();
    worker.thread.postMessage({ task: job.task, control: job.control, participant } satisfies JoinMessage);
  }

  #left(worker: PooledWorker, { failure, result }: LeftMessage): void {
    const { job } = worker;
    worker.job = undefined;
    worker.thread.unref();
    this.#rest(worker);
    if (job === undefined) return;
    job.members.delete(worker.participant);
    if (failure !== undefined) job.failure ??= decodeFailure(failure);
    job.result ??= result;
    this.#balance();
  }

  #rest(worker: PooledWorker): void {
    worker.idleTimer = setTimeout(() => this.#end(worker), this.#idleMs).unref();
  }

  #end(worker: PooledWorker): void {
    this.#workers.delete(worker);
    void worker.thread.terminate();
  }

  /** A thread that ended by itself takes its job with it: nobody knows how far its unit had come. */
  #ended(worker: PooledWorker, error: unknown): void {
    clearTimeout(worker.idleTimer);
    if (!this.#workers.delete(worker)) return;
    const { job } = worker;
    if (job === undefined) return;
    job.members.delete(worker.participant);
    job.failure ??= job.own.isUntouched
      ? new WorkersUnavailable("worker threads cannot be started", { cause: error })
      : error;
    job.own.fail();
    this.#balance();
  }
}

/** Shared by all archives of the process. */
export const sharedPool: WorkerPool = new WorkerPool();

function startThread(): Worker {
  const url = findWorker();
  if (url === undefined) throw new WorkersUnavailable("the file of the worker threads was not found");
  try {
    // Nothing of the host's own settings: its loaders and environment are not for this code. Sources import sources.
    return new Worker(url, {
      execArgv: url.pathname.endsWith(".ts") ? ["--conditions=@fleetfoot/source"] : [],
      env: {},
      name: "fleetfoot-archive",
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
  } catch (error) {
    throw new WorkersUnavailable("this process may not start threads", { cause: error });
  }
}

/**
 * The worker lies beside this file when the package or an application is bundled into one, else in the folder above it. If an
 * application was bundled without it, the installed package still has it.
 */
function findWorker(): URL | undefined {
  const name = import.meta.url.endsWith(".ts") ? "archive-worker.ts" : "archive-worker.js";
  for (const place of [`./${name}`, `../${name}`]) {
    const url = new URL(place, import.meta.url);
    if (url.protocol === "file:" && existsSync(fileURLToPath(url))) return url;
  }
  try {
    return new URL(import.meta.resolve("@fleetfoot/cache-archive/worker"));
  } catch {
    return undefined;
  }
}
