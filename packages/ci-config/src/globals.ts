import type { RegexEngine } from "./expression/regex.ts";
import { DEFAULT_KEYWORDS, UNSUPPORTED_KEYWORDS } from "./job-definition.ts";
import { readMap, readString, readStrings, warnAboutKeys, wrongType } from "./keywords/read.ts";
import type { ReadContext } from "./keywords/read.ts";
import { readRules } from "./keywords/rules.ts";
import type { Rule } from "./keywords/rules.ts";
import { readVariables } from "./keywords/variables.ts";
import type { PipelineVariable } from "./pipeline.ts";
import type { ProblemLog } from "./problem-log.ts";
import { valueOf } from "./yaml/nodes.ts";
import type { ConfigNode, MapEntry, MapNode } from "./yaml/nodes.ts";

/** What applies to the whole pipeline. */
export interface Globals {
  /** With `.pre` and `.post`. */
  readonly stages: readonly string[];
  readonly variables: readonly PipelineVariable[];
  readonly defaults: ReadonlyMap<string, ConfigNode>;
  readonly workflowName: string | undefined;
  /** Undefined: every pipeline is wanted. */
  readonly workflowRules: readonly Rule[] | undefined;
  /** Mappings that are neither keywords nor hidden. */
  readonly jobs: ReadonlyMap<string, MapEntry & { readonly node: MapNode }>;
}

/** @see https://docs.gitlab.com/ci/yaml/#global-keywords */
export function readGlobals(root: MapNode, engine: RegexEngine, log: ProblemLog): Globals {
  const variables = valueOf(root, "variables");
  const workflow = valueOf(root, "workflow");
  return {
    stages: readStages(root, log),
    variables: variables === undefined ? [] : readVariables({ log, subject: "" }, variables),
    defaults: readDefaults(root, log),
    ...readWorkflow(workflow, engine, log),
    jobs: findJobs(root, log),
  };
}

const DEFAULT_STAGES: readonly string[] = ["build", "test", "deploy"];

function readStages(root: MapNode, log: ProblemLog): readonly string[] {
  const node = valueOf(root, "stages") ?? valueOf(root, "types");
  const declared = node === undefined ? [] : (readStrings({ log, subject: "" }, node, "stages") ?? []);
  const stages = declared.length === 0 ? DEFAULT_STAGES : declared;
  return [...new Set([".pre", ...stages.filter((stage) => stage !== ".pre" && stage !== ".post"), ".post"])];
}

/** The older way to set defaults: the same keywords at the top of the file. */
const OLD_DEFAULTS: readonly string[] = ["image", "services", "cache", "before_script", "after_script"];

function readDefaults(root: MapNode, log: ProblemLog): ReadonlyMap<string, ConfigNode> {
  const defaults = new Map<string, ConfigNode>();
  for (const key of OLD_DEFAULTS) {
    const node = valueOf(root, key);
    if (node !== undefined) defaults.set(key, node);
  }
  const section = valueOf(root, "default");
  if (section === undefined) return defaults;
  const context: ReadContext = { log, subject: "default" };
  if (section.kind !== "map") {
    wrongType(context, section, "default", "a mapping");
    return defaults;
  }
  warnAboutKeys(context, section, "", DEFAULT_KEYWORDS, UNSUPPORTED_KEYWORDS);
  for (const [key, entry] of section.entries) {
    const node = valueOf(section, key);
    if (node === undefined || !DEFAULT_KEYWORDS.includes(key)) continue;
    if (defaults.has(key)) {
      log.warning(
        entry.keyPlace,
        "duplicate-key",
        "default",
        `${key} stands both in default and at the top of the file; only default counts`,
      );
    }
    defaults.set(key, node);
  }
  return defaults;
}

function readWorkflow(
  node: ConfigNode | undefined,
  engine: RegexEngine,
  log: ProblemLog,
): Pick<Globals, "workflowName" | "workflowRules"> {
  const context: ReadContext = { log, subject: "workflow" };
  const map = node === undefined ? undefined : readMap(context, node, "workflow", ["name", "rules"], ["auto_cancel"]);
  if (map === undefined) return { workflowName: undefined, workflowRules: undefined };
  const [name, rules] = [valueOf(map, "name"), valueOf(map, "rules")];
  return {
    workflowName: name === undefined ? undefined : readString(context, name, "name"),
    workflowRules: rules === undefined ? undefined : readRules(context, rules, "workflow", engine),
  };
}

const GLOBAL_KEYWORDS = new Set([
  ...OLD_DEFAULTS,
  "default",
  "include",
  "spec",
  "stages",
  "types",
  "variables",
  "workflow",
]);

function findJobs(root: MapNode, log: ProblemLog): Globals["jobs"] {
  const jobs = new Map<string, MapEntry & { readonly node: MapNode }>();
  for (const [name, entry] of root.entries) {
    if (name.startsWith(".") || GLOBAL_KEYWORDS.has(name)) continue;
    const { node, keyPlace } = entry;
    if (RESERVED_NAMES.has(name) || name.trim() === "" || name.length > MAX_NAME_LENGTH) {
      const shown =
        name.length > MAX_NAME_LENGTH
          ? `${name.slice(0, 20)}... (more than ${MAX_NAME_LENGTH} characters)`
          : `"${name}"`;
      log.error(keyPlace, "job-name", "", `a job cannot be called ${shown}; choose another name`);
    } else if (node.kind === "map") jobs.set(name, { keyPlace, node });
    else
      wrongType(
        { log, subject: "" },
        node,
        name,
        "a mapping, since it is neither a global keyword nor hidden by a dot",
      );
  }
  return jobs;
}

const RESERVED_NAMES = new Set(["true", "false", "nil"]);
const MAX_NAME_LENGTH = 255;
