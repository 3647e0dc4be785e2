import type { RunnerEntry } from "@fleetfoot/runner-config";
import type { Invocation } from "../command.ts";
import { UsageError } from "../errors.ts";

/** Whether any of the options that pick runners was given. */
export function hasSelection(invocation: Invocation): boolean {
  return ["name", "url", "token"].some((option) => invocation.text(option) !== undefined);
}

/** Picks the runners that the options name; without any, all of them. */
export function selectsRunner(invocation: Invocation): (runner: RunnerEntry) => boolean {
  const name = invocation.text("name");
  const url = invocation.text("url");
  const token = invocation.text("token");
  return (runner) =>
    (name === undefined || runner.name === name) &&
    (url === undefined || runner.url === url) &&
    (token === undefined || runner.token === token);
}

/** The error for options that pick nothing. */
export function nothingSelected(path: string): UsageError {
  return new UsageError(`No runner in ${path} fits.`, { cure: "fleetfoot list shows them." });
}
