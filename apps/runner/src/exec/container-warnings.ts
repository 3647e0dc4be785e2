import type { PipelineJob, Problem } from "@fleetfoot/ci-config";

/**
 * Says which jobs ask for a container that they do not get here: their scripts run on this machine.
 *
 * Jobs with the same image and services, as `default` gives them, share one warning.
 */
export function containerWarnings(jobs: readonly PipelineJob[]): readonly Problem[] {
  const groups = Map.groupBy(
    jobs.filter((job) => job.image !== undefined || job.services.length > 0),
    (job) => JSON.stringify([job.image, job.services]),
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const names = [...new Set(group.map((job) => job.baseName))];
    const message = `${subjectOf(names)}: ${keywordsOf(first)} no effect with the shell executor; the script runs on this machine`;
    return [{ ...first.source, code: "no-container", message }];
  });
}

const MOST_NAMES = 3;

function subjectOf(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).join(", ");
  const rest = names.length - MOST_NAMES;
  return `${names.length === 1 ? "job" : "jobs"} ${shown}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function keywordsOf({ image, services }: PipelineJob): string {
  if (services.length === 0) return "image has";
  return image === undefined ? "services have" : "image and services have";
}
