import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { run } from "../process.ts";
import { publishedPackages, repositoryRoot, type WorkspacePackage } from "../workspace.ts";

/** Packs every published package and inspects the tarballs: what is in them, and whether their types resolve. */
export async function checkPackedPackages(): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "fleetfoot-packed-"));
  try {
    const problems: string[] = [];
    for (const published of publishedPackages()) problems.push(...(await inspect(published, folder)));
    return problems;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function inspect(published: WorkspacePackage, folder: string): Promise<readonly string[]> {
  const directory = join(repositoryRoot, published.directory);
  const packed = await run("pnpm", ["pack", "--json", "--pack-destination", folder], { cwd: directory });
  if (packed.code !== 0) return [`${published.directory}: pnpm pack failed: ${packed.output}`];
  const { filename } = JSON.parse(packed.output.slice(packed.output.indexOf("{"))) as { filename: string };
  const tarball = await readFile(filename);
  return [...(await publintProblems(published, tarball)), ...(await typeProblems(published, tarball))];
}

async function publintProblems(published: WorkspacePackage, tarball: Buffer): Promise<readonly string[]> {
  const bytes = new ArrayBuffer(tarball.byteLength);
  new Uint8Array(bytes).set(tarball);
  const { messages, pkg } = await publint({ pack: { tarball: bytes }, strict: true });
  return messages.map(
    (message) => `${published.directory}: publint: ${formatMessage(message, pkg, { color: false }) ?? message.code}`,
  );
}

/** Whether TypeScript finds the types of every entry. The packages are ES modules only, so `require` need not resolve to CommonJS. */
async function typeProblems(published: WorkspacePackage, tarball: Buffer): Promise<readonly string[]> {
  const analysis = await checkPackage(createPackageFromTarballData(tarball));
  if (analysis.types === false) return [`${published.directory}: the tarball holds no types.`];
  return analysis.problems
    .filter(
      (problem) =>
        problem.kind !== "CJSResolvesToESM" && !("resolutionKind" in problem && problem.resolutionKind === "node10"),
    )
    .map((problem) => `${published.directory}: types: ${problem.kind} (${JSON.stringify(problem)})`);
}
