import { containerFaults } from "./container-faults.ts";
import type { CheckedDockerSettings } from "./container-faults.ts";
import { doubtfulSettings } from "./doubtful.ts";

/** Something in the settings of containers that cannot be meant. */
export interface DockerSettingsProblem {
  /** In the file, for example `memory_swap`. */
  readonly key: string;
  /** With an error no job could run as it is meant. */
  readonly severity: "error" | "warning";
  /** What is wrong and what to write instead. */
  readonly message: string;
}

/**
 * Finds what would otherwise fail in each job: values that cannot be read, that the engine never takes, or that contradict each other. Asks
 * no engine and reads no file.
 *
 * @see https://docs.gitlab.com/runner/configuration/advanced-configuration/#the-runnersdocker-section
 */
export function checkDockerSettings(settings: CheckedDockerSettings): readonly DockerSettingsProblem[] {
  const errors = [...containerFaults(settings)].map(([key, message]) => ({ key, severity: "error", message }) as const);
  const warnings = [...doubtfulSettings(settings)].map(
    ([key, message]) => ({ key, severity: "warning", message }) as const,
  );
  return [...errors, ...warnings];
}
