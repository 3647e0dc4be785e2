import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { publishedPackages, repositoryRoot, type WorkspacePackage } from "../workspace.ts";

const SECTIONS = ["Usage", "How it works", "Errors", "Caveats", "See also"];

/**
 * Checks that each published package says in one sentence what it is, that its README shows code that runs, and that the list of packages
 * in the README of the whole names them all.
 */
export function checkDocuments(): readonly string[] {
  const published = publishedPackages();
  return [...published.flatMap(packageProblems), ...listProblems(published)];
}

function listProblems(published: readonly WorkspacePackage[]): readonly string[] {
  const expected = published
    .filter(({ directory }) => directory.startsWith("packages/"))
    .map(({ name, directory, description }) => `| [\`${name}\`](${directory}) | ${description} |`)
    .sort();
  const found = readFileSync(join(repositoryRoot, "README.md"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| [`@fleetfoot/"));
  const missing = expected.filter((line) => !found.includes(line)).map((line) => `README.md lacks the line: ${line}`);
  const surplus = found.filter((line) => !expected.includes(line)).map((line) => `README.md names no package: ${line}`);
  return [...missing, ...surplus];
}

function packageProblems(published: WorkspacePackage): readonly string[] {
  const readmePath = join(repositoryRoot, published.directory, "README.md");
  if (!existsSync(readmePath)) return [`${published.directory}: README.md is missing.`];
  const readme = readFileSync(readmePath, "utf8");
  return [
    ...sentenceProblems(published, readme),
    ...(published.directory.startsWith("packages/")
      ? [...sectionProblems(published, readme), ...usageProblems(published, readme)]
      : []),
  ];
}

function sentenceProblems(published: WorkspacePackage, readme: string): readonly string[] {
  const firstLine = readme.split("\n").find((line) => line.trim() !== "" && !line.startsWith("#")) ?? "";
  const problems: string[] = [];
  if (firstLine !== published.description) {
    problems.push(
      `${published.directory}: the README begins with "${firstLine}", package.json describes "${published.description}".`,
    );
  }
  if (!/^[^.]+\.$|^.*`\.?[^`]*`[^.]*\.$/.test(published.description)) {
    problems.push(`${published.directory}: the description must be one sentence that ends in a full stop.`);
  }
  return problems;
}

function sectionProblems(published: WorkspacePackage, readme: string): readonly string[] {
  const found = [...readme.matchAll(/^## (.+)$/gm)].map((match) => match[1] ?? "");
  const known = found.filter((title) => SECTIONS.includes(title));
  return SECTIONS.every((title, index) => known[index] === title)
    ? []
    : [
        `${published.directory}: README.md needs the sections ${SECTIONS.join(", ")}, in this order; it has ${known.join(", ") || "none"}.`,
      ];
}

function usageProblems(published: WorkspacePackage, readme: string): readonly string[] {
  const folder = join(repositoryRoot, published.directory, "examples");
  const examples = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".ts")) : [];
  if (examples.length === 0) return [`${published.directory}: examples/ holds no example.`];
  const usage = /^## Usage$[\s\S]*?^```ts\n([\s\S]*?)^```$/m.exec(readme)?.[1];
  if (usage === undefined) return [`${published.directory}: README.md has no TypeScript block under Usage.`];
  const matches = examples.some((name) => readFileSync(join(folder, name), "utf8").trim() === usage.trim());
  return matches
    ? []
    : [
        `${published.directory}: the block under Usage is not the text of any file in examples/ (${examples.join(", ")}).`,
      ];
}
