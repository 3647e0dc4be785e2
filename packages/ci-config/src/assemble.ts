import type { Decision } from "./decide.ts";
import { findCycles } from "./job-graph.ts";
import type { JobInstance } from "./job-instances.ts";
import type { NeedDefinition } from "./keywords/needs.ts";
import type { MatrixRow } from "./keywords/parallel.ts";
import type { JobNeed, PipelineJob } from "./pipeline.ts";
import type { ProblemLog } from "./problem-log.ts";
import type { VariableView } from "./variables.ts";

/** A job that takes part, with what was decided about it. */
export interface DecidedJob {
  readonly instance: JobInstance;
  readonly decision: Decision;
  readonly view: VariableView;
}

/** Turns decided jobs into the pipeline's, in order of stage; needs are resolved to the jobs that are really there. */
export function assembleJobs(
  jobs: readonly DecidedJob[],
  all: readonly JobInstance[],
  stages: readonly string[],
  log: ProblemLog,
): readonly PipelineJob[] {
  const resolver = new NeedResolver(jobs, all, log);
  const ordered = stages.flatMap((stage) => jobs.filter((job) => job.instance.definition.stage === stage));
  const assembled = ordered.map((job) => assemble(job, resolver));
  // Rules can bring needs of their own, so the final jobs are checked as well.
  for (const cycle of findCycles(assembled.map((job) => [job.name, (job.needs ?? []).map((need) => need.job)]))) {
    const place = ordered.find((job) => job.instance.name === cycle[0])?.instance.definition.place;
    if (place !== undefined)
      log.error(place, "needs-cycle", "", `needs go in a circle: ${cycle.join(" -> ")}; remove one of these needs`);
  }
  return assembled;
}

function assemble(job: DecidedJob, resolver: NeedResolver): PipelineJob {
  const { instance, decision, view } = job;
  const { definition } = instance;
  const { environment, place } = definition;
  return {
    name: instance.name,
    baseName: definition.name,
    stage: definition.stage,
    script: definition.script,
    beforeScript: definition.beforeScript,
    afterScript: definition.afterScript,
    variables: decision.variables,
    when: decision.when,
    startInMs: decision.startInMs,
    allowFailure: decision.allowFailure,
    retry: definition.retry,
    timeoutSeconds: definition.timeoutSeconds,
    needs: resolver.needsOf(job),
    dependencies: definition.dependencies?.flatMap((name) => resolver.present(name).map((found) => found.name)),
    artifacts: definition.artifacts,
    cache: definition.cache.map((placed) => placed.entry),
    image: definition.image,
    services: definition.services,
    tags: definition.tags,
    parallel: instance.parallel,
    resourceGroup: definition.resourceGroup === undefined ? undefined : view.expand(definition.resourceGroup),
    interruptible: decision.interruptible,
    environment:
      environment === undefined
        ? undefined
        : {
            name: view.expand(environment.name),
            url: environment.url,
            ...(environment.action === undefined ? {} : { action: environment.action }),
            ...(environment.tier === undefined ? {} : { tier: environment.tier }),
          },
    hooks: { preGetSources: definition.preGetSources },
    source: { file: place.source.path, line: place.source.lineAt(place.offset) },
  };
}

class NeedResolver {
  readonly #present: ReadonlyMap<string, readonly JobInstance[]>;
  readonly #known: ReadonlyMap<string, readonly JobInstance[]>;
  readonly #log: ProblemLog;

  constructor(jobs: readonly DecidedJob[], all: readonly JobInstance[], log: ProblemLog) {
    this.#present = indexByNames(jobs.map((job) => job.instance));
    this.#known = indexByNames(all);
    this.#log = log;
  }

  /** Jobs of this pipeline that a name in the file stands for. */
  present(name: string): readonly JobInstance[] {
    return this.#present.get(name) ?? [];
  }

  needsOf(job: DecidedJob): readonly JobNeed[] | undefined {
    const needs = job.decision.needs?.flatMap((need) => this.#resolve(job, need));
    if (needs === undefined) return undefined;
    return [...new Map(needs.map((need) => [need.job, need])).values()];
  }

  #resolve(job: DecidedJob, need: NeedDefinition): readonly JobNeed[] {
    const matches = this.present(need.job).filter((instance) => rowMatches(instance, need.matrix));
    if (matches.length === 0 && !need.optional) this.#reportAbsent(job, need);
    return matches.map((instance) => ({ job: instance.name, artifacts: need.artifacts, optional: need.optional }));
  }

  #reportAbsent(job: DecidedJob, need: NeedDefinition): void {
    const subject = `job ${job.instance.name}`;
    const known = this.#known.get(need.job) ?? [];
    if (known.some((instance) => !instance.definition.supported)) {
      this.#log.warning(
        need.place,
        "unsupported",
        subject,
        `needs ${need.job}, which is left out as not supported; the job does not wait for it`,
      );
    } else if (this.present(need.job).length > 0) {
      this.#log.error(
        need.place,
        "missing-need",
        subject,
        `needs ${need.job} with a matrix that no parallel job of it has; correct the variables`,
      );
    } else if (job.decision.forced) {
      this.#log.warning(
        need.place,
        "missing-need",
        subject,
        `needs ${need.job}, which is not in this pipeline; the job runs without it since it was named`,
      );
    } else {
      const cure = "add optional: true to the need, or make the rules of both agree";
      this.#log.error(
        need.place,
        "missing-need",
        subject,
        `needs ${need.job}, which its rules keep out of this pipeline; ${cure}`,
      );
    }
  }
}

function indexByNames(instances: readonly JobInstance[]): ReadonlyMap<string, readonly JobInstance[]> {
  const index = new Map<string, JobInstance[]>();
  for (const instance of instances) {
    for (const name of new Set([instance.definition.name, instance.name])) {
      const list = index.get(name);
      if (list === undefined) index.set(name, [instance]);
      else list.push(instance);
    }
  }
  return index;
}

function rowMatches(instance: JobInstance, rows: readonly MatrixRow[] | undefined): boolean {
  return rows === undefined || rows.some((row) => [...row].every(([key, value]) => instance.row?.get(key) === value));
}
