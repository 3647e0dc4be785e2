import { parseDuration } from "../duration.ts";
import type { AllowFailure, RetryPolicy } from "../pipeline.ts";
import { isString, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode } from "../yaml/nodes.ts";
import {
  invalid,
  readBoolean,
  readChoice,
  readInteger,
  readMap,
  readScript,
  readString,
  readStrings,
  unsupported,
  wrongType,
} from "./read.ts";
import type { ReadContext } from "./read.ts";

/** @see https://docs.gitlab.com/ci/yaml/#allow_failure */
export function readAllowFailure(context: ReadContext, node: ConfigNode): AllowFailure | undefined {
  if (node.kind !== "map") {
    const allowed = readBoolean(context, node, "allow_failure");
    return allowed === undefined ? undefined : { allowed, exitCodes: [] };
  }
  readMap(context, node, "allow_failure", ["exit_codes"]);
  const codes = valueOf(node, "exit_codes");
  if (codes === undefined)
    return invalid(context, node, "allow_failure has no exit_codes; write true, false or exit_codes: [1]");
  return { allowed: true, exitCodes: readExitCodes(context, codes, "allow_failure:exit_codes") };
}

/** @see https://docs.gitlab.com/ci/yaml/#retrywhen */
const RETRY_REASONS = [
  "always",
  "unknown_failure",
  "script_failure",
  "api_failure",
  "stuck_or_timeout_failure",
  "runner_system_failure",
  "runner_unsupported",
  "runner_provisioning_timeout",
  "stale_schedule",
  "job_execution_timeout",
  "archived_failure",
  "unmet_prerequisites",
  "scheduler_failure",
  "data_integrity_failure",
] as const;

const MAX_RETRIES = 2;

/** @see https://docs.gitlab.com/ci/yaml/#retry */
export function readRetry(context: ReadContext, node: ConfigNode): RetryPolicy | undefined {
  if (node.kind !== "map") {
    const max = readInteger(context, node, "retry", 0, MAX_RETRIES);
    return max === undefined ? undefined : { max, when: ["always"], exitCodes: [] };
  }
  readMap(context, node, "retry", ["max", "when", "exit_codes"]);
  const [max, when, codes] = [valueOf(node, "max"), valueOf(node, "when"), valueOf(node, "exit_codes")];
  return {
    max: (max === undefined ? undefined : readInteger(context, max, "retry:max", 0, MAX_RETRIES)) ?? 0,
    when: when === undefined ? (codes === undefined ? ["always"] : []) : readReasons(context, when),
    exitCodes: codes === undefined ? [] : readExitCodes(context, codes, "retry:exit_codes"),
  };
}

function readReasons(context: ReadContext, node: ConfigNode): readonly string[] {
  const items = node.kind === "list" ? node.items : [node];
  return items.flatMap((item) => readChoice(context, item, "retry:when", RETRY_REASONS) ?? []);
}

function readExitCodes(context: ReadContext, node: ConfigNode, keyword: string): readonly number[] {
  const items = node.kind === "list" ? node.items : [node];
  return items.flatMap((item) => readInteger(context, item, keyword, 0, 0xff_ff_ff_ff) ?? []);
}

/** Seconds. @see https://docs.gitlab.com/ci/yaml/#timeout */
export function readTimeout(context: ReadContext, node: ConfigNode): number | undefined {
  const text =
    node.kind === "scalar" && typeof node.value === "number" ? node.text : readString(context, node, "timeout");
  if (text === undefined) return undefined;
  const seconds = parseDuration(text);
  return seconds !== undefined && seconds > 0
    ? seconds
    : invalid(context, node, `timeout is ${text}, which is not a duration; write for example 1h 30m`);
}

export interface EnvironmentDefinition {
  readonly name: string;
  readonly url: string | undefined;
  readonly action: string | undefined;
  readonly tier: string | undefined;
}

const ACTIONS = ["start", "stop", "prepare", "verify", "access"] as const;
const TIERS = ["production", "staging", "testing", "development", "other"] as const;

/** @see https://docs.gitlab.com/ci/yaml/#environment */
export function readEnvironment(context: ReadContext, node: ConfigNode): EnvironmentDefinition | undefined {
  const environment = readEnvironmentKeys(context, node);
  if (environment !== undefined && (environment.action ?? "start") === "start") {
    unsupported(context, node, `approvals of the environment ${environment.name} are not asked for`);
  }
  return environment;
}

function readEnvironmentKeys(context: ReadContext, node: ConfigNode): EnvironmentDefinition | undefined {
  if (isString(node)) return { name: node.value, url: undefined, action: undefined, tier: undefined };
  if (node.kind !== "map") return wrongType(context, node, "environment", "a string or a mapping with a name");
  readMap(
    context,
    node,
    "environment",
    ["name", "url", "action", "deployment_tier"],
    ["on_stop", "auto_stop_in", "kubernetes"],
  );
  const text = (key: string): string | undefined => {
    const value = valueOf(node, key);
    return value === undefined ? undefined : readString(context, value, `environment:${key}`);
  };
  const name = text("name");
  if (valueOf(node, "name") === undefined) return invalid(context, node, "environment has no name; add name: NAME");
  const [action, tier] = [valueOf(node, "action"), valueOf(node, "deployment_tier")];
  if (name === undefined) return undefined;
  return {
    name,
    url: text("url"),
    action: action === undefined ? undefined : readChoice(context, action, "environment:action", ACTIONS),
    tier: tier === undefined ? undefined : readChoice(context, tier, "environment:deployment_tier", TIERS),
  };
}

/** Commands of `hooks:pre_get_sources_script`. */
export function readHooks(context: ReadContext, node: ConfigNode): readonly string[] {
  const map = readMap(context, node, "hooks", ["pre_get_sources_script"]);
  const script = map === undefined ? undefined : valueOf(map, "pre_get_sources_script");
  return (script === undefined ? undefined : readScript(context, script, "hooks:pre_get_sources_script")) ?? [];
}

const MAX_TAGS = 50;

export function readTags(context: ReadContext, node: ConfigNode): readonly string[] {
  const tags = readStrings(context, node, "tags") ?? [];
  if (tags.length >= MAX_TAGS)
    invalid(context, node, `tags has ${tags.length} items; fewer than ${MAX_TAGS} are allowed`);
  return tags;
}

/** True, false, or the names that are inherited. */
export type Inheritance = boolean | readonly string[];

/** @see https://docs.gitlab.com/ci/yaml/#inherit */
export function readInheritance(context: ReadContext, node: ConfigNode, key: "default" | "variables"): Inheritance {
  const map = readMap(context, node, "inherit", ["default", "variables"]);
  const value = map === undefined ? undefined : valueOf(map, key);
  if (value === undefined) return true;
  if (value.kind === "list") return readStrings(context, value, `inherit:${key}`) ?? true;
  return readBoolean(context, value, `inherit:${key}`) ?? true;
}

export function inherits(inheritance: Inheritance, name: string): boolean {
  return typeof inheritance === "boolean" ? inheritance : inheritance.includes(name);
}
