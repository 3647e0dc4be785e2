import type { PipelineImage } from "../pipeline.ts";
import { isString, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode } from "../yaml/nodes.ts";
import { invalid, readList, readMap, readOneOrMore, readString, readStrings, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";
import { readVariables } from "./variables.ts";

/** @see https://docs.gitlab.com/ci/yaml/#image */
export function readImage(context: ReadContext, node: ConfigNode): PipelineImage | undefined {
  return readContainer(context, node, "image", ["name", "entrypoint", "pull_policy", "docker"]);
}

/** @see https://docs.gitlab.com/ci/yaml/#services */
export function readServices(context: ReadContext, node: ConfigNode): readonly PipelineImage[] {
  const list = readList(context, node, "services", "a list of images");
  const keys = ["name", "alias", "entrypoint", "command", "variables", "pull_policy", "docker"];
  return list?.items.flatMap((item, index) => readContainer(context, item, `services[${index}]`, keys) ?? []) ?? [];
}

function readContainer(
  context: ReadContext,
  node: ConfigNode,
  keyword: string,
  keys: readonly string[],
): PipelineImage | undefined {
  if (isString(node))
    return node.value.trim() === "" ? invalid(context, node, `${keyword} has an empty name`) : { name: node.value };
  if (node.kind !== "map") return wrongType(context, node, keyword, "a string or a mapping with a name");
  readMap(context, node, keyword, keys, ["kubernetes"]);
  const nameNode = valueOf(node, "name");
  if (nameNode === undefined) return invalid(context, node, `${keyword} has no name; add name: IMAGE`);
  const name = readString(context, nameNode, `${keyword}:name`);
  if (name === undefined) return undefined;
  const strings = (key: string): readonly string[] | undefined => optionalStrings(context, node, keyword, key);
  const alias = valueOf(node, "alias");
  const aliasText = alias === undefined ? undefined : readString(context, alias, `${keyword}:alias`);
  const [entrypoint, command] = [strings("entrypoint"), strings("command")];
  const policy = valueOf(node, "pull_policy");
  const pullPolicy = policy === undefined ? undefined : readOneOrMore(context, policy, `${keyword}:pull_policy`);
  const variables = valueOf(node, "variables");
  const docker = valueOf(node, "docker");
  const dockerOptions = docker === undefined ? undefined : readDockerOptions(context, docker, keyword);
  return {
    name,
    ...(aliasText === undefined ? {} : { alias: aliasText }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(command === undefined ? {} : { command }),
    ...(pullPolicy === undefined ? {} : { pullPolicy: checkPolicies(context, node, keyword, pullPolicy) }),
    ...(variables === undefined ? {} : { variables: readVariables(context, variables, `${keyword}:variables`) }),
    ...(dockerOptions === undefined ? {} : { dockerOptions }),
  };
}

function optionalStrings(
  context: ReadContext,
  map: MapNode,
  keyword: string,
  key: string,
): readonly string[] | undefined {
  const node = valueOf(map, key);
  return node === undefined ? undefined : readStrings(context, node, `${keyword}:${key}`);
}

const PULL_POLICIES: readonly string[] = ["always", "if-not-present", "never"];

function checkPolicies(
  context: ReadContext,
  node: MapNode,
  keyword: string,
  policies: readonly string[],
): readonly string[] {
  const wrong = policies.find((policy) => !PULL_POLICIES.includes(policy));
  if (wrong !== undefined) {
    const place = valueOf(node, "pull_policy") ?? node;
    invalid(context, place, `${keyword}:pull_policy is ${wrong}; it must be one of ${PULL_POLICIES.join(", ")}`);
  }
  return policies;
}

function readDockerOptions(context: ReadContext, node: ConfigNode, keyword: string): PipelineImage["dockerOptions"] {
  const map = readMap(context, node, `${keyword}:docker`, ["platform", "user"]);
  if (map === undefined) return undefined;
  const [platform, user] = ["platform", "user"].map((key) => {
    const value = valueOf(map, key);
    return value === undefined ? undefined : readString(context, value, `${keyword}:docker:${key}`);
  });
  return { ...(platform === undefined ? {} : { platform }), ...(user === undefined ? {} : { user }) };
}
