import { appendFileSync } from "node:fs";

/** One line of the report: a real system took part in the tests, or could not. */
export type SystemReport =
  | { readonly system: string; readonly outcome: "started"; readonly version: string }
  | { readonly system: string; readonly outcome: "unavailable"; readonly reason: string };

/**
 * Adds a line to the JSON lines file that `FLEETFOOT_SYSTEMS_REPORT` names; does nothing when the variable is unset.
 * One small write in append mode, so lines of several processes never mix.
 */
export function reportSystem(report: SystemReport): void {
  const file = process.env["FLEETFOOT_SYSTEMS_REPORT"];
  if (file) appendFileSync(file, `${JSON.stringify(report)}\n`);
}

/** Whether a system that cannot be had is a failure (`FLEETFOOT_SYSTEMS=required`) and not a reason to skip. */
export function systemsAreRequired(): boolean {
  return process.env["FLEETFOOT_SYSTEMS"] === "required";
}
