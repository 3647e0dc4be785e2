import { assembleJobs } from "./assemble.ts";
import type { DecidedJob } from "./assemble.ts";
import { lintCaches } from "./cache-lint.ts";
import { decideJob } from "./decide.ts";
import { RegexEngine } from "./expression/regex.ts";
import { readGlobals } from "./globals.ts";
import type { Globals } from "./globals.ts";
import { readJob } from "./job-definition.ts";
import type { JobDefinition } from "./job-definition.ts";
import { checkJobGraph } from "./job-graph.ts";
import { instancesOf } from "./job-instances.ts";
import type { JobInstance } from "./job-instances.ts";
import { conditionsHold } from "./load/conditions.ts";
import type { DecisionFacts } from "./load/conditions.ts";
import { resolveExtends } from "./load/extends.ts";
import { loadConfig } from "./load/includes.ts";
import { resolveReferences } from "./load/references.ts";
import type { Pipeline, PipelineVariable, Problem } from "./pipeline.ts";
import { ProblemLog } from "./problem-log.ts";
import { suggest } from "./suggestion.ts";
import { mergeVariables, VariableView } from "./variables.ts";
import { createSourceFile } from "./yaml/source-file.ts";

export interface ResolvePipelineOptions {
  /** Path of the root file from the top of the repository, for example `.gitlab-ci.yml`. */
  readonly file: string;
  /** Reads one file; paths use `/`, start at the top of the repository and may come from the configuration. Undefined: there is no such file. */
  readonly readFile: (path: string) => Promise<string | undefined>;
  /** Tracked files, asked for when an include has a wildcard or a rule has `exists`. @default they are unknown: `exists` never holds */
  readonly listFiles?: () => Promise<readonly string[]>;
  /** Files that the commit changes. @default unknown: every `changes` holds, as in a new branch */
  readonly changedFiles?: readonly string[];
  /** Predefined variables and those of the caller; they decide rules and win over variables of the file. */
  readonly variables: Readonly<Record<string, string>>;
  /** Jobs that take part whatever their rules say, also manual ones. Other jobs are not left out. @default none */
  readonly jobNames?: readonly string[];
  /** Stops between files; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface PipelineResolution {
  /** Undefined when there are errors, or when no pipeline is wanted ({@link refused}). */
  readonly pipeline: Pipeline | undefined;
  /** Why there is no pipeline though nothing is wrong. */
  readonly refused?: string;
  /** All mistakes, in order of file and line. */
  readonly errors: readonly Problem[];
  /** What has no effect here, and what is probably not meant. */
  readonly warnings: readonly Problem[];
}

/**
 * Resolves a configuration into the jobs of one pipeline: includes, templates, defaults, rules, parallel jobs, needs.
 *
 * Mistakes are never thrown but collected, all of them; equal options give an equal result.
 *
 * @throws what `readFile` and `listFiles` throw, and the signal's reason
 * @see https://docs.gitlab.com/ci/yaml/
 */
export async function resolvePipeline(options: ResolvePipelineOptions): Promise<PipelineResolution> {
  const log = new ProblemLog();
  const result = await new Resolution(options, log).run();
  const errors = log.errors.toSorted(byPosition);
  const warnings = log.warnings.toSorted(byPosition);
  return errors.length > 0
    ? { pipeline: undefined, errors, warnings }
    : { pipeline: undefined, ...result, errors, warnings };
}

type Outcome = { readonly pipeline: Pipeline } | { readonly refused: string } | undefined;

class Resolution {
  readonly #options: ResolvePipelineOptions;
  readonly #log: ProblemLog;
  readonly #engine = new RegexEngine();
  #files: Promise<readonly string[]> | undefined;

  constructor(options: ResolvePipelineOptions, log: ProblemLog) {
    this.#options = options;
    this.#log = log;
  }

  async run(): Promise<Outcome> {
    const { file, variables, signal, readFile, changedFiles } = this.#options;
    const access = { readFile, changedFiles, listFiles: async () => await this.#listFiles() };
    const loaded = await loadConfig(file, access, variables, this.#engine, this.#log, signal);
    if (loaded === undefined) return undefined;
    const extended = resolveExtends(loaded.root, this.#log);
    const root = loaded.hasReferences ? resolveReferences(extended, this.#log) : extended;
    const globals = readGlobals(root, this.#engine, this.#log);
    const jobs = [...globals.jobs].map(([name, entry]) =>
      readJob(name, entry.node, entry.keyPlace, globals.defaults, this.#engine, this.#log),
    );
    this.#checkJobs(jobs, globals);
    const instances = jobs.flatMap((job) => instancesOf(job, globals.variables));
    this.#checkNames(instances);
    lintCaches(instances, (instance) => new VariableView(variables, instance.variables), this.#log);
    return this.#log.errors.length > 0 ? undefined : await this.#decide(globals, jobs);
  }

  async #decide(globals: Globals, jobs: readonly JobDefinition[]): Promise<Outcome> {
    const rules = [...(globals.workflowRules ?? []), ...jobs.flatMap((job) => job.rules ?? [])];
    const files = rules.some((rule) => rule.exists !== undefined) ? await this.#listFiles() : undefined;
    const pipelineVariables = this.#decideWorkflow(globals, files);
    if (pipelineVariables === undefined) {
      return { refused: "workflow:rules refuse this pipeline: no rule matches, or the one that does says when: never" };
    }
    const instances = jobs.flatMap((job) => instancesOf(job, pipelineVariables));
    const decided = instances.flatMap((instance) => this.#decideJob(instance, globals, files) ?? []);
    const needed = decided.some((job) => ![".pre", ".post"].includes(job.instance.definition.stage));
    if (!needed) {
      return {
        refused:
          decided.length === 0
            ? "no job takes part: the rules of all jobs refuse this pipeline"
            : "only .pre and .post jobs take part",
      };
    }
    const assembled = assembleJobs(decided, instances, globals.stages, this.#log);
    const used = new Set(assembled.map((job) => job.stage));
    const view = new VariableView(this.#options.variables, pipelineVariables);
    const name = globals.workflowName === undefined ? undefined : view.expand(globals.workflowName).trim();
    return {
      pipeline: {
        name: name === "" ? undefined : name,
        stages: globals.stages.filter((stage) => used.has(stage) || (stage !== ".pre" && stage !== ".post")),
        jobs: assembled,
      },
    };
  }

  /** Variables of the pipeline, or undefined when it is not wanted. */
  #decideWorkflow(globals: Globals, files: readonly string[] | undefined): readonly PipelineVariable[] | undefined {
    if (globals.workflowRules === undefined) return globals.variables;
    const facts = this.#facts(new VariableView(this.#options.variables, globals.variables), files);
    const rule = globals.workflowRules.find((candidate) => conditionsHold(candidate, facts));
    if (rule === undefined || rule.when === "never") return undefined;
    return mergeVariables(globals.variables, rule.variables);
  }

  #decideJob(instance: JobInstance, globals: Globals, files: readonly string[] | undefined): DecidedJob | undefined {
    if (!instance.definition.supported) return undefined;
    const { variables, jobNames = [] } = this.#options;
    const decision = decideJob(instance, {
      facts: this.#facts(new VariableView(variables, instance.variables), files),
      engine: this.#engine,
      hasWorkflowRules: globals.workflowRules !== undefined,
      named: jobNames.includes(instance.name) || jobNames.includes(instance.definition.name),
    });
    if (decision === undefined) return undefined;
    return { instance, decision, view: new VariableView(variables, decision.variables) };
  }

  #checkJobs(jobs: readonly JobDefinition[], globals: Globals): void {
    if (jobs.length === 0) {
      const place = { source: createSourceFile(this.#options.file, ""), offset: 0 };
      this.#log.error(
        place,
        "no-jobs",
        "",
        "the configuration has no visible job; add one whose name does not start with a dot",
      );
    }
    checkJobGraph(jobs, globals.stages, this.#log);
  }

  /** A job may be called like one of another's parallel jobs; names that the caller gave must exist. */
  #checkNames(instances: readonly JobInstance[]): void {
    const owners = new Map<string, JobDefinition>();
    for (const { name, definition } of instances) {
      const owner = owners.get(name);
      if (owner !== undefined) {
        const text = `two jobs would be called ${name}; rename the job or give every matrix combination other values`;
        this.#log.error(definition.place, "duplicate-name", "", text);
      }
      owners.set(name, definition);
    }
    const known = new Set(instances.flatMap((instance) => [instance.name, instance.definition.name]));
    for (const name of this.#options.jobNames ?? []) {
      if (known.has(name)) continue;
      const place = { source: createSourceFile(this.#options.file, ""), offset: 0 };
      this.#log.error(
        place,
        "unknown-job",
        "",
        `there is no job ${name} in the configuration${suggest(name, known)}; name one that is defined`,
      );
    }
  }

  #facts(variables: VariableView, files: readonly string[] | undefined): DecisionFacts {
    return { variables, changedFiles: this.#options.changedFiles, files };
  }

  async #listFiles(): Promise<readonly string[] | undefined> {
    const { listFiles } = this.#options;
    if (listFiles === undefined) return undefined;
    this.#files ??= listFiles();
    return await this.#files;
  }
}

function byPosition(left: Problem, right: Problem): number {
  if (left.file !== right.file) return left.file < right.file ? -1 : 1;
  return left.line - right.line;
}
