export { tagTtlOfCacheValidity } from "./cache-validity.ts";
export { ImageReferenceError, parseImage } from "./parse-image.ts";
export type { ImageReference } from "./parse-image.ts";
export { registryAuth } from "./registry-auth.ts";
export type { RegistryAuth, RegistryCredentials } from "./registry-auth.ts";
export { createRewriteRule, rewriteImage } from "./rewrite-image.ts";
export type { RewriteOptions, RewriteReason, RewriteRule, RewrittenImage } from "./rewrite-image.ts";
