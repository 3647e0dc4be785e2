import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";
import { publishedPackages } from "./packages.ts";

/**
 * Installs the oldest Node that the packages say they run on.
 *
 * @param folder - does not exist yet
 * @returns path of the program
 */
export async function installOldestNode(folder: string, environment: Environment): Promise<string> {
  const program = `node-${process.platform}-${process.arch}`;
  await mkdir(folder);
  await runProgram(
    "npm",
    [
      "install",
      "--prefer-offline",
      "--ignore-scripts",
      "--loglevel=error",
      "--prefix",
      folder,
      `${program}@${oldest()}`,
    ],
    { environment, folder },
  );
  return join(folder, "node_modules", program, "bin/node");
}

/** One version for all packages, so that what works with it works with each. */
function oldest(): string {
  const ranges = new Set(publishedPackages().map(({ manifest }) => manifest.engines?.node ?? "none"));
  const [range = "none"] = ranges;
  const version = /^>=(\d+\.\d+)$/.exec(range)?.[1];
  if (ranges.size !== 1 || version === undefined) {
    throw new Error(`The packages do not agree on the oldest Node: ${[...ranges].join(", ")}`);
  }
  return `${version}.0`;
}
