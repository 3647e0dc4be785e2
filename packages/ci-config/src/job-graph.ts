import type { JobDefinition } from "./job-definition.ts";
import type { ProblemLog } from "./problem-log.ts";
import { suggest } from "./suggestion.ts";

/** Checks what jobs say about each other: stages, needs, dependencies. Rules do not matter yet. */
export function checkJobGraph(jobs: readonly JobDefinition[], stages: readonly string[], log: ProblemLog): void {
  const graph = new JobGraph(jobs, stages, log);
  for (const job of jobs) graph.check(job);
  for (const cycle of findCycles(jobs.map((job) => [job.name, graph.needNames(job)]))) {
    const [first = ""] = cycle;
    const job = jobs.find((candidate) => candidate.name === first);
    const need = job?.needs?.find((candidate) => graph.baseName(candidate.job) === cycle[1]);
    if (job === undefined || need === undefined) continue;
    log.error(need.place, "needs-cycle", "", `needs go in a circle: ${cycle.join(" -> ")}; remove one of these needs`);
  }
}

/** Every circle once, as `[a, b, a]`, starting at the member that comes first in the list. */
export function findCycles(
  edges: readonly (readonly [name: string, targets: readonly string[]])[],
): readonly (readonly string[])[] {
  const targets = new Map(edges);
  const state = new Map<string, "open" | "closed">();
  const cycles: string[][] = [];
  for (const [start] of edges) {
    if (state.has(start)) continue;
    // An own stack: pipelines may be deeper than the call stack.
    const path: { readonly name: string; readonly next: Iterator<string> }[] = [];
    const open = (name: string): void => {
      state.set(name, "open");
      path.push({ name, next: (targets.get(name) ?? [])[Symbol.iterator]() });
    };
    open(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const step = top.next.next();
      if (step.done === true) {
        state.set(top.name, "closed");
        path.pop();
      } else if (state.get(step.value) === "open") {
        const names = path.map((entry) => entry.name);
        cycles.push([...names.slice(names.indexOf(step.value)), step.value]);
      } else if (!state.has(step.value) && targets.has(step.value)) open(step.value);
    }
  }
  return cycles;
}

class JobGraph {
  readonly #byName: ReadonlyMap<string, JobDefinition>;
  readonly #stages: readonly string[];
  readonly #log: ProblemLog;

  constructor(jobs: readonly JobDefinition[], stages: readonly string[], log: ProblemLog) {
    this.#byName = new Map(jobs.map((job) => [job.name, job]));
    this.#stages = stages;
    this.#log = log;
  }

  check(job: JobDefinition): void {
    const subject = `job ${job.name}`;
    if (!this.#stages.includes(job.stage)) {
      const list = this.#stages.join(", ");
      const origin = job.stagePlace === job.place ? " (the default)" : "";
      const text = `its stage ${job.stage}${origin} is not one of ${list}${suggest(job.stage, this.#stages)}; add it to stages or correct it`;
      this.#log.error(job.stagePlace, "unknown-stage", subject, text);
    }
    this.#checkNeeds(job, subject);
    this.#checkDependencies(job, subject);
  }

  needNames(job: JobDefinition): readonly string[] {
    return (job.needs ?? []).map((need) => this.baseName(need.job));
  }

  /** `build 1/3` and `build: [a]` stand for the job `build`, unless a job is really called so. */
  baseName(name: string): string {
    if (this.#byName.has(name)) return name;
    const base = name.replace(/ \d+\/\d+$|: \[.*\]$/s, "");
    return this.#byName.get(base)?.parallel === undefined ? name : base;
  }

  #checkNeeds(job: JobDefinition, subject: string): void {
    const seen = new Set<string>();
    const needs = [...(job.needs ?? []), ...(job.rules ?? []).flatMap((rule) => rule.needs ?? [])];
    for (const need of needs) {
      const target = this.#byName.get(this.baseName(need.job));
      if (target === undefined) {
        if (!need.optional) this.#reportUnknown(need.place, subject, "needs", need.job);
      } else if (this.#isLater(target, job)) {
        const text = `needs ${need.job}, whose stage ${target.stage} comes after its own stage ${job.stage}; move one of them`;
        this.#log.error(need.place, "needs-later-stage", subject, text);
      }
      const identity = `${need.job}\0${need.matrix === undefined ? "" : need.place.offset}`;
      if (seen.has(identity) && job.needs?.includes(need) === true) {
        this.#log.error(need.place, "duplicate-name", subject, `needs names ${need.job} twice; remove one`);
      }
      seen.add(identity);
    }
  }

  #checkDependencies(job: JobDefinition, subject: string): void {
    const needs = job.needs === undefined ? undefined : new Set(this.needNames(job));
    for (const name of job.dependencies ?? []) {
      const base = this.baseName(name);
      const target = this.#byName.get(base);
      if (target === undefined) this.#reportUnknown(job.dependenciesPlace, subject, "dependencies", name);
      else if (needs !== undefined && !needs.has(base)) {
        const text = `dependencies names ${name}, which is not in needs; add it there too`;
        this.#log.error(job.dependenciesPlace, "dependency-without-need", subject, text);
      } else if (needs === undefined && !this.#isEarlier(target, job)) {
        const text = `dependencies names ${name}, whose stage ${target.stage} is not before ${job.stage}; add it to needs or move one of them`;
        this.#log.error(job.dependenciesPlace, "dependency-later-stage", subject, text);
      }
    }
  }

  #reportUnknown(place: JobDefinition["place"], subject: string, keyword: string, name: string): void {
    const hint = suggest(name, this.#byName.keys());
    const cure = name.startsWith(".") ? "hidden jobs never run" : "define it or correct the name";
    this.#log.error(
      place,
      "unknown-job",
      subject,
      `${keyword} names the job ${name}, which does not exist${hint}; ${cure}`,
    );
  }

  #isLater(target: JobDefinition, job: JobDefinition): boolean {
    const [targetStage, ownStage] = [this.#stages.indexOf(target.stage), this.#stages.indexOf(job.stage)];
    return targetStage !== -1 && ownStage !== -1 && targetStage > ownStage;
  }

  #isEarlier(target: JobDefinition, job: JobDefinition): boolean {
    const [targetStage, ownStage] = [this.#stages.indexOf(target.stage), this.#stages.indexOf(job.stage)];
    return targetStage === -1 || ownStage === -1 || targetStage < ownStage;
  }
}
