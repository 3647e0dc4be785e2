import type { JobAssignment } from "./types.ts";

/** Numbers of a running job. */
interface RunningJob {
  readonly projectId: number;
  readonly concurrentId: number;
  readonly concurrentProjectId: number;
}

/** The numbers that the running jobs of one URL and token have, whichever entries of a configuration they came through. */
export class JobNumbers {
  readonly #jobs = new Set<RunningJob>();

  /** Takes the smallest free numbers for a job of a project. */
  take(projectId: number): { readonly assignment: JobAssignment; free(): void } {
    const jobs = [...this.#jobs];
    const job = {
      projectId,
      concurrentId: smallestFree(jobs.map((other) => other.concurrentId)),
      concurrentProjectId: smallestFree(
        jobs.filter((other) => other.projectId === projectId).map((other) => other.concurrentProjectId),
      ),
    };
    this.#jobs.add(job);
    const { concurrentId, concurrentProjectId } = job;
    return { assignment: { concurrentId, concurrentProjectId }, free: () => void this.#jobs.delete(job) };
  }
}

function smallestFree(taken: readonly number[]): number {
  const numbers = new Set(taken);
  let free = 0;
  while (numbers.has(free)) free += 1;
  return free;
}
