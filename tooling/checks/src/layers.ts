/**
 * The layers of the workspace, from the top down. A package may import packages of lower layers only; packages of one
 * layer do not know each other.
 *
 * @see docs/architecture.md
 */
const layers: readonly (readonly string[])[] = [
  ["fleetfoot", "fleetfoot-mirror"],
  ["@fleetfoot/job-runner", "@fleetfoot/local-coordinator", "@fleetfoot/registry-mirror"],
  [
    "@fleetfoot/executor-shell",
    "@fleetfoot/executor-docker",
    "@fleetfoot/docker-machine-driver",
    "@fleetfoot/cache-backend-local",
    "@fleetfoot/cache-backend-s3",
    "@fleetfoot/cache-backend-gcs",
    "@fleetfoot/cache-backend-azure",
    "@fleetfoot/coordinator-client",
  ],
  ["@fleetfoot/autoscaler", "@fleetfoot/cache-backend", "@fleetfoot/cache-archive", "@fleetfoot/job-trace"],
  [
    "@fleetfoot/proxy-env",
    "@fleetfoot/cache-key",
    "@fleetfoot/ci-config",
    "@fleetfoot/runner-config",
    "@fleetfoot/deflate",
    "@fleetfoot/state-directory",
    "@fleetfoot/directory-lock",
  ],
];

/** One import of a workspace package by a file that is not a test. */
export interface WorkspaceImport {
  /** Name of the importing package. */
  readonly from: string;
  /** Name of the imported package, without a sub-path. */
  readonly to: string;
  /** Path of the importing file, for the message. */
  readonly file: string;
}

/**
 * Finds the imports that do not point downward.
 *
 * @returns one sentence per offence, in the order of the imports
 */
export function layeringProblems(imports: readonly WorkspaceImport[]): readonly string[] {
  return imports.flatMap(({ from, to, file }) => {
    const upper = layerOf(from);
    const lower = layerOf(to);
    if (upper === -1) return [`${file}: package ${from} has no layer. Give it one in tooling/checks/src/layers.ts.`];
    if (lower === -1)
      return [`${file}: imports ${to}, which has no layer. Give it one in tooling/checks/src/layers.ts.`];
    if (lower > upper) return [];
    const relation = lower === upper ? "the same layer as" : "a layer above";
    return [
      `${file}: ${from} imports ${to}, which is in ${relation} it. Declare the interface that is needed instead.`,
    ];
  });
}

/** Names of workspace packages that a source text imports, without sub-paths. */
export function importedPackages(source: string): readonly string[] {
  const specifiers = source.matchAll(
    /(?:from|import)\s*\(?\s*["'](@fleetfoot\/[^"'/]+|fleetfoot(?:-[a-z]+)?)(?:\/[^"']*)?["']/g,
  );
  return [...new Set([...specifiers].map((match) => match[1] ?? ""))];
}

function layerOf(name: string): number {
  return layers.findIndex((layer) => layer.includes(name));
}
