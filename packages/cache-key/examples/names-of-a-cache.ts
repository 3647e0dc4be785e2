import { objectName, prepareVariables, resolveCacheKeys, serverCacheKey } from "@fleetfoot/cache-key";

const key = serverCacheKey({ key: "gems-$CI_COMMIT_REF_SLUG", clearIndex: 2, protectedRef: true });
console.log(`the coordinator sends ${key}`);

const variables = prepareVariables([
  { key: "CI_COMMIT_REF_SLUG", value: "main" },
  { key: "CACHE_FALLBACK_KEY", value: "gems-any" },
]);
const names = resolveCacheKeys({ key, fallbackKeys: ["../gems"], job: { name: "unit", ref: "main" }, ...variables });
for (const warning of names.warnings) console.log(`warning: ${warning}`);

const runnerShortToken = "AbCdEfGhI"; // of the token glrt-t1_AbCdEfGhIjKl
for (const name of [names.primary, ...names.fallbacks]) {
  if (name === undefined) continue;
  console.log(objectName({ runnerShortToken, projectId: 42, key: name.key, hashed: name.hashed }));
}
