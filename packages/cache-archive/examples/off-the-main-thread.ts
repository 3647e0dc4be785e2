// Archives without work on this thread, as a server does that must answer others meanwhile.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createArchive, extractArchive, selectFiles } from "@fleetfoot/cache-archive";

// A host without worker threads would say so with a warning and do the work here; that is not what is wanted.
process.on("warning", (warning) => {
  throw warning;
});

const scratch = await mkdtemp(join(tmpdir(), "example-"));
const root = join(scratch, "project");
await mkdir(root);
for (let nth = 0; nth < 100; nth += 1) await writeFile(join(root, `${nth}.log`), "done\n".repeat(nth * 100));

const { entries } = await selectFiles({ root, paths: ["*.log"] });
for (const format of ["zip", "tarzstd"] as const) {
  const archivePath = join(scratch, `cache.${format}`);
  const saved = await createArchive({ root, entries, archivePath, format, maxInlineMs: 0 });
  const restored = await extractArchive({ archivePath, root: join(scratch, format), maxInlineMs: 0 });
  console.log(`${format}: saved ${saved.entries} entries in ${saved.bytes} bytes, restored ${restored.entries}`);
}
await rm(scratch, { recursive: true });
