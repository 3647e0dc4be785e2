import { valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode } from "../yaml/nodes.ts";
import { flattenList, invalid, isVariableScalar, readInteger, readMap, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";

/** Variables of one parallel job, in the order of the file. */
export type MatrixRow = ReadonlyMap<string, string>;

export type ParallelDefinition =
  | { readonly kind: "count"; readonly total: number }
  | { readonly kind: "matrix"; readonly rows: readonly MatrixRow[] };

const MAX_PARALLEL = 200;

/** @see https://docs.gitlab.com/ci/yaml/#parallel */
export function readParallel(context: ReadContext, node: ConfigNode): ParallelDefinition | undefined {
  if (node.kind === "scalar") {
    const total = readInteger(context, node, "parallel", 1, MAX_PARALLEL);
    return total === undefined ? undefined : { kind: "count", total };
  }
  const map = readMap(context, node, "parallel", ["matrix"]);
  if (map === undefined) return undefined;
  const matrix = valueOf(map, "matrix");
  if (matrix === undefined)
    return invalid(context, node, "parallel has no matrix; write a number or add matrix: [...]");
  const rows = readMatrix(context, matrix, "parallel:matrix");
  return rows === undefined ? undefined : { kind: "matrix", rows };
}

/** All combinations of every item; the last variable changes fastest. */
export function readMatrix(context: ReadContext, node: ConfigNode, keyword: string): readonly MatrixRow[] | undefined {
  if (node.kind !== "list") return wrongType(context, node, keyword, "a list of mappings");
  const rows: MatrixRow[] = [];
  let valid = true;
  for (const item of node.items) {
    const combinations =
      item.kind === "map"
        ? combine(context, item, keyword)
        : wrongType(context, item, `each item of ${keyword}`, "a mapping");
    if (combinations === undefined) valid = false;
    else rows.push(...combinations);
  }
  if (!valid) return undefined;
  if (rows.length === 0 || rows.length > MAX_PARALLEL) {
    return invalid(context, node, `${keyword} makes ${rows.length} jobs; it must make 1 to ${MAX_PARALLEL}`);
  }
  return rows;
}

function combine(context: ReadContext, map: MapNode, keyword: string): readonly MatrixRow[] | undefined {
  let rows: readonly MatrixRow[] = [new Map()];
  for (const [key, entry] of map.entries) {
    const values = matrixValues(context, entry.node, `${keyword}:${key}`);
    if (values === undefined) return undefined;
    // The product is never built much beyond the limit.
    if (rows.length * values.length > MAX_PARALLEL) {
      return invalid(context, map, `${keyword} makes more than ${MAX_PARALLEL} jobs; remove some values`);
    }
    rows = rows.flatMap((row) => values.map((value) => new Map([...row, [key, value]])));
  }
  return map.entries.size === 0 ? [] : rows;
}

function matrixValues(context: ReadContext, node: ConfigNode, keyword: string): readonly string[] | undefined {
  const items = flattenList(context, node, keyword);
  const wrong = items.find((item) => !isVariableScalar(item));
  if (wrong !== undefined) return wrongType(context, wrong, keyword, "a string or a list of strings");
  return items.flatMap((item) => (item.kind === "scalar" ? item.text : []));
}
