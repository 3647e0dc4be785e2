import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CacheStoreError, canReadRanges, createMemoryStore, downloadToFile } from "@fleetfoot/cache-backend";

const store = createMemoryStore();
const content = new TextEncoder().encode("what a job wants to find again");
await store.put("project/42/gems", { bytes: content.byteLength, open: () => new Blob([content]).stream() });

const directory = await mkdtemp(join(tmpdir(), "cache-backend-"));
const path = join(directory, "cache.zip");
const { outcome } = await downloadToFile(store, "project/42/gems", path, { concurrency: canReadRanges(store) ? 4 : 1 });
console.log(outcome, JSON.stringify(await readFile(path, "utf8")));
console.log((await downloadToFile(store, "project/42/other", path)).outcome);
await rm(directory, { recursive: true });

await store.head("../43/gems").catch((error: unknown) => {
  if (CacheStoreError.isInstance(error)) console.log(error.code, error.message);
});
