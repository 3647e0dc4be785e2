import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createArchive, extractArchive, selectFiles } from "@fleetfoot/cache-archive";

const scratch = await mkdtemp(join(tmpdir(), "example-"));
const root = join(scratch, "project");
await mkdir(join(root, "vendor/gems"), { recursive: true });
await writeFile(join(root, "vendor/gems/rake.rb"), "puts 1\n");

const { entries, warnings } = await selectFiles({ root, paths: ["vendor/**", "gone"], exclude: ["**/*.log"] });
for (const warning of warnings) console.log(`warning: ${warning}`);
const archivePath = join(scratch, "cache.zip");
const saved = await createArchive({ root, entries, archivePath, level: "fast" });
console.log(`saved ${saved.entries} entries in ${saved.bytes} bytes`);

await extractArchive({ archivePath, root: join(scratch, "restored"), maxBytes: 1_000_000 });
console.log(await readFile(join(scratch, "restored/vendor/gems/rake.rb"), "utf8"));
await rm(scratch, { recursive: true });
