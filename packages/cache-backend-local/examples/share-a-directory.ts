import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalStore } from "@fleetfoot/cache-backend-local";

const directory = await mkdtemp(join(tmpdir(), "local-store-"));
const store = createLocalStore({ directory });
const body = (text: string) => ({ bytes: text.length, open: () => new Blob([text]).stream() });

const first = await store.put("project/42/gems", body("first"), { metadata: { cachekey: "gems" } });
const second = await store.putIf("project/42/gems", body("second"), { version: first.version });
console.log("replaced the first:", second !== undefined);
console.log("again:", (await store.putIf("project/42/gems", body("third"), { version: first.version })) !== undefined);

const object = await store.get("project/42/gems");
console.log(await new Response(object?.body).text(), object?.facts.metadata);
for await (const { name, bytes } of store.list("project/")) console.log(name, bytes);
await rm(directory, { recursive: true });
