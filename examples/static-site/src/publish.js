import { createHmac } from "node:crypto";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const token = process.env.DEPLOY_TOKEN;
if (!token) {
  console.error("DEPLOY_TOKEN is not set. Give it to the pipeline: fleetfoot exec --secret DEPLOY_TOKEN");
  process.exit(1);
}
// A careless line that every project has somewhere. The log shows [MASKED] in its place.
console.log(`Publishing with token ${token}`);

await mkdir("site", { recursive: true });
await cp("public", "site", { recursive: true });
await cp("search", "site/search", { recursive: true });

// The receipt proves who published without telling how.
const files = (await readdir("site", { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
const receipt = createHmac("sha256", token);
for (const path of files.map((entry) => join(entry.parentPath, entry.name)).sort()) receipt.update(await readFile(path));
await writeFile("site/receipt.txt", `${receipt.digest("hex")}\n`);
console.log(`${files.length} files published`);
