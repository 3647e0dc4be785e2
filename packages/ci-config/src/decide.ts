import type { RegexEngine } from "./expression/regex.ts";
import type { JobInstance } from "./job-instances.ts";
import type { NeedDefinition } from "./keywords/needs.ts";
import { DEFAULT_ONLY, policiesAllow } from "./keywords/only-except.ts";
import { conditionsHold } from "./load/conditions.ts";
import type { DecisionFacts } from "./load/conditions.ts";
import type { AllowFailure, PipelineJob, PipelineVariable } from "./pipeline.ts";
import { mergeVariables } from "./variables.ts";

/** How a job that takes part takes part. */
export interface Decision {
  readonly when: PipelineJob["when"];
  readonly startInMs: number | undefined;
  readonly allowFailure: AllowFailure;
  readonly variables: readonly PipelineVariable[];
  readonly needs: readonly NeedDefinition[] | undefined;
  readonly interruptible: boolean;
  /** The job was named by the caller and would be absent or wait otherwise. */
  readonly forced: boolean;
}

export interface DecideOptions {
  readonly facts: DecisionFacts;
  readonly engine: RegexEngine;
  /** Whether the file has `workflow:rules`, which takes the place of the default `only`. */
  readonly hasWorkflowRules: boolean;
  /** The caller named this job. */
  readonly named: boolean;
}

/**
 * @returns undefined when the job is absent from this pipeline
 * @see https://docs.gitlab.com/ci/jobs/job_rules/
 */
export function decideJob(instance: JobInstance, options: DecideOptions): Decision | undefined {
  const decision =
    instance.definition.rules === undefined ? decideByPolicy(instance, options) : decideByRules(instance, options);
  if (!options.named) return decision;
  const chosen = decision ?? base(instance, instance.definition.when ?? "on_success");
  const waits = chosen.when === "manual";
  return { ...chosen, when: waits ? "on_success" : chosen.when, forced: decision === undefined || waits };
}

function decideByRules(instance: JobInstance, options: DecideOptions): Decision | undefined {
  const { definition } = instance;
  const rule = definition.rules?.find((candidate) => conditionsHold(candidate, options.facts));
  if (rule === undefined) return undefined;
  const when = rule.when ?? definition.when ?? "on_success";
  if (when === "never") return undefined;
  const allowed = rule.allowFailure === undefined ? undefined : { allowed: rule.allowFailure, exitCodes: [] };
  return {
    when,
    startInMs: when === "delayed" ? (rule.startInMs ?? definition.startInMs) : undefined,
    allowFailure: allowed ?? definition.allowFailure ?? NOT_ALLOWED,
    variables: mergeVariables(instance.variables, rule.variables),
    needs: rule.needs ?? definition.needs,
    interruptible: rule.interruptible ?? definition.interruptible,
    forced: false,
  };
}

function decideByPolicy(instance: JobInstance, options: DecideOptions): Decision | undefined {
  const { only, except, when } = instance.definition;
  const effective = only ?? (options.hasWorkflowRules ? undefined : DEFAULT_ONLY);
  if (!policiesAllow(effective, except, options.facts, options.engine)) return undefined;
  return base(instance, when ?? "on_success");
}

const NOT_ALLOWED: AllowFailure = { allowed: false, exitCodes: [] };

function base(instance: JobInstance, when: PipelineJob["when"]): Decision {
  const { definition, variables } = instance;
  return {
    when,
    startInMs: when === "delayed" ? definition.startInMs : undefined,
    // Outside rules a manual job does not hold the pipeline up.
    allowFailure: definition.allowFailure ?? {
      allowed: when === "manual" && definition.rules === undefined,
      exitCodes: [],
    },
    variables,
    needs: definition.needs,
    interruptible: definition.interruptible,
    forced: false,
  };
}
