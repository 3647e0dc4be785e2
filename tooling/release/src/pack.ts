import { join } from "node:path";
import { repositoryFolder, runProgram, systemsFolder, withLock } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";
import type { PublishedPackage } from "./packages.ts";

/** Builds what is published. Two test processes at once would write the same files, hence the lock. */
export async function buildPackages(environment: Environment, folder: string = repositoryFolder): Promise<void> {
  const args = ["run", "build", "--output-logs=errors-only", "--continue"];
  const filters = ["--filter=./packages/*", "--filter=./apps/*"];
  await withLock(join(systemsFolder, "locks", "build"), () =>
    runProgram("turbo", [...args, ...filters], { environment, folder }),
  );
}

/** Packs a package; returns the tarball's path. */
export async function packPackage(
  { folder }: PublishedPackage,
  target: string,
  environment: Environment,
): Promise<string> {
  const output = await runProgram("pnpm", ["pack", "--json", "--pack-destination", target], { environment, folder });
  return (JSON.parse(output) as { readonly filename: string }).filename;
}

/** Paths of the files in a packed package, without the folder `package/` that they all lie in. */
export async function filesIn(tarball: string, environment: Environment): Promise<readonly string[]> {
  const listing = await runProgram("tar", ["--list", "--gzip", "--file", tarball], { environment });
  return listing
    .split("\n")
    .filter(Boolean)
    .map((path) => path.replace(/^package\//, ""));
}

/** Text of one file of a packed package. */
export function readFileIn(tarball: string, path: string, environment: Environment): Promise<string> {
  return runProgram("tar", ["--extract", "--to-stdout", "--gzip", "--file", tarball, `package/${path}`], {
    environment,
  });
}
