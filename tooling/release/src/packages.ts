import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryFolder } from "@fleetfoot-tooling/systems";

/** The part of a package's manifest that these tests look at. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly engines?: { readonly node?: string };
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A package of the workspace that users install. */
export interface PublishedPackage {
  readonly name: string;
  /** Absolute path. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** Absolute paths of the example files. */
  readonly examples: readonly string[];
}

/** Every package that is not private, in the order of their folders. */
export function publishedPackages(root: string = repositoryFolder): readonly PublishedPackage[] {
  return ["packages", "apps"]
    .flatMap((group) => readdirSync(join(root, group)).map((name) => join(root, group, name)))
    .filter((folder) => existsSync(join(folder, "package.json")))
    .map(readPackage)
    .filter(({ manifest }) => manifest.private !== true);
}

function readPackage(folder: string): PublishedPackage {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const examplesFolder = join(folder, "examples");
  const names = existsSync(examplesFolder) ? readdirSync(examplesFolder) : [];
  const examples = names.filter((name) => name.endsWith(".ts")).map((name) => join(examplesFolder, name));
  return { name: manifest.name, folder, manifest, examples };
}
