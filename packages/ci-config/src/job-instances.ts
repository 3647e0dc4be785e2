import type { JobDefinition } from "./job-definition.ts";
import { inherits } from "./keywords/execution.ts";
import type { MatrixRow } from "./keywords/parallel.ts";
import type { PipelineVariable } from "./pipeline.ts";
import { mergeVariables } from "./variables.ts";

/** One of the jobs that a definition stands for: itself, or each parallel one. */
export interface JobInstance {
  readonly definition: JobDefinition;
  readonly name: string;
  /** Global, job and matrix variables, without those of rules. */
  readonly variables: readonly PipelineVariable[];
  readonly parallel: { readonly index: number; readonly total: number } | undefined;
  /** Variables of its matrix combination. */
  readonly row: MatrixRow | undefined;
}

/** @see https://docs.gitlab.com/ci/yaml/#parallel - names of parallel jobs */
export function instancesOf(definition: JobDefinition, globals: readonly PipelineVariable[]): readonly JobInstance[] {
  const inherited = globals.filter((variable) => inherits(definition.inheritedVariables, variable.key));
  const variables = mergeVariables(inherited, definition.variables);
  const { parallel, name } = definition;
  if (parallel === undefined) return [{ definition, name, variables, parallel: undefined, row: undefined }];
  if (parallel.kind === "count") {
    const { total } = parallel;
    return Array.from({ length: total }, (_, index) => ({
      definition,
      name: `${name} ${index + 1}/${total}`,
      variables,
      parallel: { index: index + 1, total },
      row: undefined,
    }));
  }
  const total = parallel.rows.length;
  return parallel.rows.map((row, index) => ({
    definition,
    name: `${name}: [${[...row.values()].join(", ")}]`,
    variables: mergeVariables(
      variables,
      [...row].map(([key, value]) => ({ key, value, raw: false })),
    ),
    parallel: { index: index + 1, total },
    row,
  }));
}
