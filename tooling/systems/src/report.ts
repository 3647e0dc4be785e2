import { appendFileSync } from "node:fs";

/**
 * Notes that a real system takes part in the tests: adds a line of JSON (`{"name":…,"version":…}`) to the file that
 * `FLEETFOOT_SYSTEMS_REPORT` names; does nothing when the variable is unset. One small write in append mode, so lines of
 * several processes never mix.
 */
export function reportSystem(name: string, version: string): void {
  const file = process.env["FLEETFOOT_SYSTEMS_REPORT"];
  if (file) appendFileSync(file, `${JSON.stringify({ name, version })}\n`);
}

/** Whether a system that cannot be had is a failure (`FLEETFOOT_SYSTEMS=required`) and not a reason to skip. */
export function systemsAreRequired(): boolean {
  return process.env["FLEETFOOT_SYSTEMS"] === "required";
}
