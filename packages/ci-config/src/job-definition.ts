import type { RegexEngine } from "./expression/regex.ts";
import { readArtifacts } from "./keywords/artifacts.ts";
import { readCaches } from "./keywords/cache.ts";
import type { PlacedCacheEntry } from "./keywords/cache.ts";
import {
  inherits,
  readAllowFailure,
  readEnvironment,
  readHooks,
  readInheritance,
  readRetry,
  readTags,
  readTimeout,
} from "./keywords/execution.ts";
import type { EnvironmentDefinition, Inheritance } from "./keywords/execution.ts";
import { readImage, readServices } from "./keywords/images.ts";
import { readNeeds } from "./keywords/needs.ts";
import type { NeedDefinition } from "./keywords/needs.ts";
import { readPolicy } from "./keywords/only-except.ts";
import type { Policy } from "./keywords/only-except.ts";
import { readParallel } from "./keywords/parallel.ts";
import type { ParallelDefinition } from "./keywords/parallel.ts";
import {
  invalid,
  readBoolean,
  readChoice,
  readScript,
  readString,
  readStrings,
  warnAboutKeys,
} from "./keywords/read.ts";
import type { ReadContext } from "./keywords/read.ts";
import { readRules, readStartIn } from "./keywords/rules.ts";
import type { Rule } from "./keywords/rules.ts";
import { readVariables } from "./keywords/variables.ts";
import type {
  AllowFailure,
  JobArtifacts,
  PipelineImage,
  PipelineJob,
  PipelineVariable,
  RetryPolicy,
} from "./pipeline.ts";
import { valueOf } from "./yaml/nodes.ts";
import type { ConfigNode, MapNode, Place } from "./yaml/nodes.ts";

/** One job as the file defines it: all keywords read, no rule decided, not yet split into parallel ones. */
export interface JobDefinition {
  readonly name: string;
  readonly place: Place;
  readonly stage: string;
  readonly stagePlace: Place;
  readonly script: readonly string[];
  readonly beforeScript: readonly string[];
  readonly afterScript: readonly string[];
  readonly variables: readonly PipelineVariable[];
  /** Which of the file's variables the job gets. */
  readonly inheritedVariables: Inheritance;
  readonly when: PipelineJob["when"] | undefined;
  readonly startInMs: number | undefined;
  readonly allowFailure: AllowFailure | undefined;
  readonly retry: RetryPolicy;
  readonly timeoutSeconds: number | undefined;
  readonly needs: readonly NeedDefinition[] | undefined;
  readonly dependencies: readonly string[] | undefined;
  readonly dependenciesPlace: Place;
  readonly artifacts: JobArtifacts | undefined;
  readonly cache: readonly PlacedCacheEntry[];
  readonly image: PipelineImage | undefined;
  readonly services: readonly PipelineImage[];
  readonly tags: readonly string[];
  readonly parallel: ParallelDefinition | undefined;
  readonly resourceGroup: string | undefined;
  readonly interruptible: boolean;
  readonly environment: EnvironmentDefinition | undefined;
  readonly preGetSources: readonly string[];
  readonly rules: readonly Rule[] | undefined;
  readonly only: Policy | undefined;
  readonly except: Policy | undefined;
  /** False for jobs that only the coordinator can carry out; a warning has named them. */
  readonly supported: boolean;
}

/** Keywords that `default` may set for all jobs. */
export const DEFAULT_KEYWORDS: readonly string[] = [
  "after_script",
  "artifacts",
  "before_script",
  "cache",
  "hooks",
  "image",
  "interruptible",
  "retry",
  "services",
  "tags",
  "timeout",
];

/** Keywords that are known and have no effect here. */
export const UNSUPPORTED_KEYWORDS: readonly string[] = [
  "coverage",
  "dast_configuration",
  "id_tokens",
  "identity",
  "inputs",
  "manual_confirmation",
  "pages",
  "publish",
  "release",
  "secrets",
];

const JOB_KEYWORDS: readonly string[] = [
  ...DEFAULT_KEYWORDS,
  "allow_failure",
  "dependencies",
  "environment",
  "except",
  "inherit",
  "needs",
  "only",
  "parallel",
  "resource_group",
  "rules",
  "run",
  "script",
  "stage",
  "start_in",
  "trigger",
  "variables",
  "when",
];

/** @see https://docs.gitlab.com/ci/yaml/#job-keywords */
export function readJob(
  name: string,
  node: MapNode,
  place: Place,
  defaults: ReadonlyMap<string, ConfigNode>,
  engine: RegexEngine,
  log: ReadContext["log"],
): JobDefinition {
  const context: ReadContext = { log, subject: `job ${name}` };
  warnAboutKeys(context, node, "", JOB_KEYWORDS, UNSUPPORTED_KEYWORDS);
  const inherit = valueOf(node, "inherit");
  const inheritedDefaults = inherit === undefined ? true : readInheritance(context, inherit, "default");
  const value = (key: string): ConfigNode | undefined =>
    valueOf(node, key) ?? (inherits(inheritedDefaults, key) ? defaults.get(key) : undefined);
  const get = <Value>(
    key: string,
    read: (context: ReadContext, node: ConfigNode, keyword: string) => Value | undefined,
  ): Value | undefined => {
    const found = value(key);
    return found === undefined ? undefined : read(context, found, key);
  };
  const supported = checkAction(context, node, place);
  const rules = get("rules", (...read) => readRules(read[0], read[1], "job", engine));
  checkCombinations(context, node);
  return {
    name,
    place,
    stage: get("stage", readString) ?? "test",
    stagePlace: valueOf(node, "stage")?.place ?? place,
    script: get("script", readScript) ?? [],
    beforeScript: get("before_script", readScript) ?? [],
    afterScript: get("after_script", readScript) ?? [],
    variables: get("variables", readVariables) ?? [],
    inheritedVariables: inherit === undefined ? true : readInheritance(context, inherit, "variables"),
    when: get("when", (...read) => readChoice(...read, ["on_success", "on_failure", "always", "manual", "delayed"])),
    startInMs: get("start_in", readStartIn),
    allowFailure: get("allow_failure", readAllowFailure),
    retry: get("retry", readRetry) ?? { max: 0, when: ["always"], exitCodes: [] },
    timeoutSeconds: get("timeout", readTimeout),
    needs: get("needs", readNeeds),
    dependencies: get("dependencies", readStrings),
    dependenciesPlace: valueOf(node, "dependencies")?.place ?? place,
    artifacts: get("artifacts", readArtifacts),
    cache: get("cache", readCaches) ?? [],
    image: get("image", readImage),
    services: get("services", readServices) ?? [],
    tags: get("tags", readTags) ?? [],
    parallel: get("parallel", readParallel),
    resourceGroup: get("resource_group", readString),
    interruptible: get("interruptible", readBoolean) ?? false,
    environment: get("environment", readEnvironment),
    preGetSources: get("hooks", readHooks) ?? [],
    rules,
    only: get("only", (...read) => readPolicy(read[0], read[1], "only", engine)),
    except: get("except", (...read) => readPolicy(read[0], read[1], "except", engine)),
    supported,
  };
}

/** A job must do something: have a script, or something that is named as not supported. */
function checkAction(context: ReadContext, node: MapNode, place: Place): boolean {
  const [trigger, run, script] = ["trigger", "run", "script"].map((key) => valueOf(node, key));
  if (trigger !== undefined) {
    const project = trigger.kind === "map" ? valueOf(trigger, "project") : trigger;
    const target = project?.kind === "scalar" ? `the project ${project.text}` : "a child pipeline";
    context.log.warning(
      trigger.place,
      "unsupported",
      context.subject,
      `trigger is not supported: ${target} is not triggered, and the job is left out`,
    );
    return false;
  }
  if (run !== undefined) {
    context.log.warning(
      run.place,
      "unsupported",
      context.subject,
      "run (steps) is not supported, so the job is left out; use script instead",
    );
    return false;
  }
  const isBlank =
    script?.kind === "scalar" ? script.text.trim() === "" : script?.kind === "list" && script.items.length === 0;
  if (script === undefined || isBlank) {
    const cure = "add script:, or start the name with a dot if it is a template";
    context.log.error(place, "missing-script", context.subject, `the job has no script; ${cure}`);
  }
  return true;
}

function checkCombinations(context: ReadContext, node: MapNode): void {
  const [rules, when, startIn] = ["rules", "when", "start_in"].map((key) => valueOf(node, key));
  if (rules !== undefined) {
    for (const key of ["only", "except", "start_in"]) {
      const other = valueOf(node, key);
      if (other !== undefined)
        invalid(context, other, `${key} cannot be used together with rules; express it as a rule`);
    }
    return;
  }
  const delayed = when?.kind === "scalar" && when.value === "delayed";
  if (when !== undefined && delayed && startIn === undefined)
    invalid(context, when, "when: delayed needs start_in: DURATION");
  if (startIn !== undefined && !delayed) invalid(context, startIn, "start_in needs when: delayed");
}
