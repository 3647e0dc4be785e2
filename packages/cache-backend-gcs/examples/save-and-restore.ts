import { createGcsStore } from "@fleetfoot/cache-backend-gcs";

// Without an endpoint it is Google's own service, with the credentials of the environment.
const store = createGcsStore({ bucket: "caches", endpoint: process.env["CACHE_GCS_ENDPOINT"] });
const content = Buffer.from("what a job wants to find again");
const body = { bytes: content.byteLength, open: () => new Blob([content]).stream() };
const { version } = await store.put("project/42/gems", body, { metadata: { cachekey: "gems" } });
console.log("saved again:", (await store.putIf("project/42/gems", body, { absent: true })) !== undefined);

const object = await store.get("project/42/gems");
console.log(await new Response(object?.body).text(), object?.facts.metadata, object?.facts.version === version);
for await (const { name, bytes } of store.list("project/42/")) console.log(name, bytes);
await store.delete("project/42/gems");
