import { parseDuration } from "../duration.ts";
import type { JobArtifacts } from "../pipeline.ts";
import { valueOf } from "../yaml/nodes.ts";
import type { ConfigNode } from "../yaml/nodes.ts";
import { invalid, readBoolean, readChoice, readMap, readOneOrMore, readString, readStrings } from "./read.ts";
import type { ReadContext } from "./read.ts";

/** @see https://docs.gitlab.com/ci/yaml/#artifacts */
export function readArtifacts(context: ReadContext, node: ConfigNode): JobArtifacts | undefined {
  const map = readMap(context, node, "artifacts", KEYS, ["expose_as", "public", "access"]);
  if (map === undefined) return undefined;
  const get = <Value>(
    key: string,
    read: (context: ReadContext, node: ConfigNode, keyword: string) => Value | undefined,
  ): Value | undefined => {
    const value = valueOf(map, key);
    return value === undefined ? undefined : read(context, value, `artifacts:${key}`);
  };
  return {
    name: get("name", readString),
    paths: get("paths", readStrings) ?? [],
    exclude: get("exclude", readStrings) ?? [],
    untracked: get("untracked", readBoolean) ?? false,
    when: get("when", (...read) => readChoice(...read, ["on_success", "on_failure", "always"])) ?? "on_success",
    expireIn: get("expire_in", readExpiry),
    reports: get("reports", readReports) ?? {},
  };
}

const KEYS = ["name", "paths", "exclude", "untracked", "when", "expire_in", "reports"];

function readExpiry(context: ReadContext, node: ConfigNode, keyword: string): string | undefined {
  const text =
    node.kind === "scalar" && typeof node.value === "number" ? node.text : readString(context, node, keyword);
  if (text === undefined || text === "never" || parseDuration(text) !== undefined) return text;
  return invalid(context, node, `${keyword} is ${text}, which is not a duration; write for example 1 day or never`);
}

/** @see https://docs.gitlab.com/ci/yaml/artifacts_reports/ */
const REPORT_TYPES: readonly string[] = [
  "accessibility",
  "annotations",
  "api_fuzzing",
  "browser_performance",
  "cluster_image_scanning",
  "codequality",
  "container_scanning",
  "coverage_fuzzing",
  "coverage_report",
  "cyclonedx",
  "dast",
  "dependency_scanning",
  "dotenv",
  "junit",
  "license_scanning",
  "load_performance",
  "lsif",
  "metrics",
  "performance",
  "repository_xray",
  "requirements",
  "requirements_v2",
  "sarif",
  "sast",
  "secret_detection",
  "terraform",
];

function readReports(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
): Readonly<Record<string, readonly string[]>> | undefined {
  const map = readMap(context, node, keyword, REPORT_TYPES);
  if (map === undefined) return undefined;
  const reports = [...map.entries.keys()].flatMap((type) => {
    const value = valueOf(map, type);
    if (value === undefined) return [];
    const name = `${keyword}:${type}`;
    const paths = type === "coverage_report" ? readCoverage(context, value, name) : readOneOrMore(context, value, name);
    return paths === undefined ? [] : [[type, paths] as const];
  });
  return Object.fromEntries(reports);
}

function readCoverage(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  const map = readMap(context, node, keyword, ["coverage_format", "path"]);
  if (map === undefined) return undefined;
  const format = valueOf(map, "coverage_format");
  if (format !== undefined) readChoice(context, format, `${keyword}:coverage_format`, ["cobertura", "jacoco"]);
  const path = valueOf(map, "path");
  if (path === undefined) return invalid(context, node, `${keyword} has no path; add path: FILE`);
  return readOneOrMore(context, path, `${keyword}:path`);
}
