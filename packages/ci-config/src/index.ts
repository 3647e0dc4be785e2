export { parseDuration } from "./duration.ts";
export { CiConfigError, ExpressionError } from "./errors.ts";
export { evaluateExpression } from "./expression/expression.ts";
export type {
  AllowFailure,
  CacheEntry,
  CacheKeySource,
  JobArtifacts,
  JobNeed,
  Pipeline,
  PipelineEnvironment,
  PipelineImage,
  PipelineJob,
  PipelineVariable,
  Problem,
  RetryPolicy,
  SourcePosition,
} from "./pipeline.ts";
export { resolvePipeline } from "./resolve-pipeline.ts";
export type { PipelineResolution, ResolvePipelineOptions } from "./resolve-pipeline.ts";
export { expandVariables } from "./variables.ts";
