import { readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { callerEnvironment, repositoryFolder, runProgram, systemsFolder } from "@fleetfoot-tooling/systems";
import type { Environment } from "@fleetfoot-tooling/systems";

/**
 * The caller's environment with the repository's Node and its pinned pnpm first on the PATH. What npm fetches is kept in
 * one place, so that twelve installations fetch a package once.
 */
export async function releaseEnvironment(): Promise<Environment> {
  const caller = callerEnvironment();
  const path = [dirname(process.execPath), join(repositoryFolder, "node_modules/.bin"), caller["PATH"] ?? ""];
  const environment = {
    ...caller,
    PATH: path.join(delimiter),
    npm_config_cache: caller["npm_config_cache"] ?? join(systemsFolder, "npm-cache"),
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
  return { ...environment, PATH: [await folderOfPnpm(environment), environment.PATH].join(delimiter) };
}

/** The pnpm that is on the PATH if it is the pinned one, otherwise one that npm fetches. */
async function folderOfPnpm(environment: Environment): Promise<string> {
  const manifest = JSON.parse(readFileSync(join(repositoryFolder, "package.json"), "utf8")) as {
    packageManager: string;
  };
  const [, pinned] = manifest.packageManager.split("@");
  const onPath = await runProgram("sh", ["-c", "command -v pnpm && pnpm --version || true"], {
    environment,
    folder: "/",
  });
  const [program, version] = onPath.split("\n");
  if (program !== undefined && version === pinned) return dirname(program);
  const fetched = await runProgram(
    "npm",
    ["exec", "--yes", `--package=${manifest.packageManager}`, "--", "sh", "-c", "command -v pnpm"],
    { environment, folder: "/" },
  );
  return dirname(fetched.trim());
}
