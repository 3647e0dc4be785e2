/** Reasons that a runner may give; jobs are told that these are understood. @see coordinator-protocol 6.3 */
export const failureReasons: readonly string[] = [
  "script_failure",
  "runner_system_failure",
  "job_execution_timeout",
  "image_pull_failure",
  "unknown_failure",
  "runner_configuration_error",
  "runner_external_dependency_failure",
  "runner_interrupted",
];
