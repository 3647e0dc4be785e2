import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { importedPackages, layeringProblems, type WorkspaceImport } from "../layers.ts";
import { repositoryRoot, sourceFiles, workspacePackages } from "../workspace.ts";

/** Finds imports between workspace packages that do not point downward, in sources and in manifests. */
export function checkLayering(): readonly string[] {
  const imports = workspacePackages()
    .filter((candidate) => !candidate.directory.startsWith("tooling/"))
    .flatMap((candidate): WorkspaceImport[] => [
      ...candidate.dependencies
        .filter((name) => name.startsWith("@fleetfoot/"))
        .map((to) => ({ from: candidate.name, to, file: `${candidate.directory}/package.json` })),
      ...sourceFiles(`${candidate.directory}/src`, { tests: false }).flatMap((path) =>
        importedPackages(readFileSync(path, "utf8"))
          .filter((to) => to !== candidate.name)
          .map((to) => ({ from: candidate.name, to, file: relative(repositoryRoot, path) })),
      ),
    ]);
  return layeringProblems(imports);
}
