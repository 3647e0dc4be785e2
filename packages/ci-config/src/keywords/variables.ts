import type { PipelineVariable } from "../pipeline.ts";
import { isNull, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode } from "../yaml/nodes.ts";
import { invalid, isVariableScalar, readBoolean, readMap, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";

/**
 * @param keyword - `variables`, or what the mapping is called in messages
 * @see https://docs.gitlab.com/ci/yaml/#variables
 */
export function readVariables(
  context: ReadContext,
  node: ConfigNode,
  keyword = "variables",
): readonly PipelineVariable[] {
  if (node.kind !== "map") {
    wrongType(context, node, keyword, "a mapping of names to values");
    return [];
  }
  return [...node.entries].flatMap(([key, entry]) => readVariable(context, key, entry.node, keyword) ?? []);
}

function readVariable(
  context: ReadContext,
  key: string,
  node: ConfigNode,
  keyword: string,
): PipelineVariable | undefined {
  const name = `${keyword}:${key}`;
  if (node.kind === "map") return readDetailed(context, key, node, name);
  if (isNull(node)) {
    context.log.warning(
      node.place,
      "empty-variable",
      context.subject,
      `${name} has no value and counts as empty; write "" to say so`,
    );
    return { key, value: "", raw: false };
  }
  if (isVariableScalar(node)) return { key, value: node.text, raw: false };
  return wrongType(context, node, name, "a string or a number");
}

function readDetailed(context: ReadContext, key: string, node: MapNode, name: string): PipelineVariable | undefined {
  readMap(context, node, name, ["value", "description", "options", "expand"]);
  const options = valueOf(node, "options");
  const values = options === undefined ? undefined : readOptions(context, options, `${name}:options`);
  const valueNode = valueOf(node, "value");
  if (valueNode !== undefined && !isVariableScalar(valueNode))
    return wrongType(context, valueNode, `${name}:value`, "a string or a number");
  const value = valueNode?.text ?? "";
  if (values !== undefined && options !== undefined && !values.includes(value)) {
    return invalid(context, valueNode ?? options, `${name}:value must be one of its options: ${values.join(", ")}`);
  }
  const expand = valueOf(node, "expand");
  const raw = expand !== undefined && readBoolean(context, expand, `${name}:expand`) === false;
  return { key, value, raw };
}

function readOptions(context: ReadContext, node: ConfigNode, name: string): readonly string[] | undefined {
  if (node.kind !== "list") return wrongType(context, node, name, "a list of strings");
  return node.items.flatMap((item) =>
    isVariableScalar(item) ? item.text : (wrongType(context, item, name, "a list of strings") ?? []),
  );
}
