import { isString, valueOf } from "../yaml/nodes.ts";
import type { ConfigNode, MapNode, Place } from "../yaml/nodes.ts";
import { flattenList, invalid, readBoolean, readMap, readString, unsupported, wrongType } from "./read.ts";
import type { ReadContext } from "./read.ts";
import { readMatrix } from "./parallel.ts";
import type { MatrixRow } from "./parallel.ts";

/** One entry of `needs` as written: the job may stand for several parallel ones. */
export interface NeedDefinition {
  readonly job: string;
  readonly artifacts: boolean;
  readonly optional: boolean;
  /** Only the parallel jobs with these variables; undefined: all of them. */
  readonly matrix: readonly MatrixRow[] | undefined;
  readonly place: Place;
}

const MAX_NEEDS = 50;

/** @see https://docs.gitlab.com/ci/yaml/#needs */
export function readNeeds(context: ReadContext, node: ConfigNode): readonly NeedDefinition[] | undefined {
  if (node.kind !== "list") return wrongType(context, node, "needs", "a list of jobs");
  const needs = flattenList(context, node, "needs").flatMap((item) => readNeed(context, item) ?? []);
  if (needs.length > MAX_NEEDS)
    invalid(context, node, `needs names ${needs.length} jobs; at most ${MAX_NEEDS} are allowed`);
  return needs;
}

function readNeed(context: ReadContext, node: ConfigNode): NeedDefinition | undefined {
  if (isString(node))
    return { job: node.value, artifacts: true, optional: false, matrix: undefined, place: node.place };
  if (node.kind !== "map") return wrongType(context, node, "each item of needs", "a string or a mapping with a job");
  const foreign = valueOf(node, "project") ?? valueOf(node, "pipeline");
  if (foreign !== undefined) {
    const name = foreign.kind === "scalar" ? foreign.text : "";
    unsupported(
      context,
      foreign,
      `needs of another project or pipeline (${name}) are not supported; its artifacts will be missing`,
    );
    return undefined;
  }
  readMap(context, node, "needs", ["job", "artifacts", "optional", "parallel"]);
  const jobNode = valueOf(node, "job");
  if (jobNode === undefined) return invalid(context, node, "an item of needs has no job; add job: NAME");
  const job = readString(context, jobNode, "needs:job");
  if (job === undefined) return undefined;
  return {
    job,
    artifacts: readFlag(context, node, "artifacts", true),
    optional: readFlag(context, node, "optional", false),
    matrix: readNeedMatrix(context, node),
    place: jobNode.place,
  };
}

function readFlag(context: ReadContext, map: MapNode, key: string, otherwise: boolean): boolean {
  const node = valueOf(map, key);
  return (node === undefined ? undefined : readBoolean(context, node, `needs:${key}`)) ?? otherwise;
}

function readNeedMatrix(context: ReadContext, map: MapNode): readonly MatrixRow[] | undefined {
  const node = valueOf(map, "parallel");
  const parallel = node === undefined ? undefined : readMap(context, node, "needs:parallel", ["matrix"]);
  const matrix = parallel === undefined ? undefined : valueOf(parallel, "matrix");
  return matrix === undefined ? undefined : readMatrix(context, matrix, "needs:parallel:matrix");
}
