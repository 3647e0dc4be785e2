// Compiles each file of the folder `assembly` of the package in the working directory into `src/compiled`. Installing does it (the package's
// script `prepare`), and so does building, so that sources run without a build and no binary lies in the repository. What is up to date stays.

import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { compileAssembly, sourceStamp } from "./compile.ts";

const directory = process.cwd();
const target = resolve(directory, "src/compiled");
await mkdir(target, { recursive: true });
for (const name of await readdir(resolve(directory, "assembly"))) {
  const source = await readFile(resolve(directory, "assembly", name), "utf8");
  const output = join(target, name);
  const firstLine = `// ${sourceStamp(source)}\n`;
  const existing = await readFile(output, "utf8").catch(() => "");
  if (existing.startsWith(firstLine)) continue;
  const binary = await compileAssembly(name, source);
  const text = `${firstLine}
/** The module that assembly/${name} compiles to, in Base64. */
export const wasm: string =
  "${Buffer.from(binary).toString("base64")}";
`;
  // A process that reads it at the same time gets all or nothing.
  await writeFile(`${output}.${process.pid}`, text);
  await rename(`${output}.${process.pid}`, output);
}
