import { readdirSync, readFileSync, existsSync } from "node:fs";
import { join, resolve } from "node:path";

/** Absolute path of the repository. */
export const repositoryRoot: string = resolve(import.meta.dirname, "../../..");

/** One package of the workspace, as its manifest says. */
export interface WorkspacePackage {
  readonly name: string;
  /** Relative to the repository, for example `packages/cache-key`. */
  readonly directory: string;
  readonly description: string;
  readonly private: boolean;
  readonly dependencies: readonly string[];
}

/** Every package of the workspace, in order of its folder. */
export function workspacePackages(): readonly WorkspacePackage[] {
  return ["apps", "packages", "tooling"].flatMap((group) =>
    readdirSync(join(repositoryRoot, group), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && existsSync(join(repositoryRoot, group, entry.name, "package.json")))
      .map((entry) => readPackage(`${group}/${entry.name}`)),
  );
}

/** The packages that users install. */
export function publishedPackages(): readonly WorkspacePackage[] {
  return workspacePackages().filter((candidate) => !candidate.private);
}

/** Source files below a folder of the repository, relative to it; tests only when asked for. */
export function sourceFiles(directory: string, options: { readonly tests: boolean }): readonly string[] {
  const base = join(repositoryRoot, directory);
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !entry.parentPath.includes("node_modules"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => options.tests || !path.endsWith(".test.ts"))
    .sort();
}

function readPackage(directory: string): WorkspacePackage {
  const manifest = JSON.parse(readFileSync(join(repositoryRoot, directory, "package.json"), "utf8")) as {
    name: string;
    description?: string;
    private?: boolean;
    dependencies?: Record<string, string>;
  };
  return {
    name: manifest.name,
    directory,
    description: manifest.description ?? "",
    private: manifest.private ?? false,
    dependencies: Object.keys(manifest.dependencies ?? {}),
  };
}
