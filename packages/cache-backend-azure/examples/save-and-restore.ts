import { createAzureStore } from "@fleetfoot/cache-backend-azure";

const store = createAzureStore({
  accountName: process.env["CACHE_AZURE_ACCOUNT_NAME"] ?? "",
  accountKey: process.env["CACHE_AZURE_ACCOUNT_KEY"],
  containerName: "caches",
  endpoint: process.env["CACHE_AZURE_ENDPOINT"],
});
const content = Buffer.from("what a job wants to find again");
const body = { bytes: content.byteLength, open: () => new Blob([content]).stream() };
const { version } = await store.put("project/42/gems", body, { metadata: { cachekey: "gems" } });
console.log("saved again:", (await store.putIf("project/42/gems", body, { absent: true })) !== undefined);

const object = await store.get("project/42/gems");
console.log(await new Response(object?.body).text(), object?.facts.metadata, object?.facts.version === version);
const { url } = await store.presign({ method: "GET", name: "project/42/gems", lifetimeMs: 60_000 });
console.log("without credentials:", (await fetch(url)).status);
await store.delete("project/42/gems");
