import { createHash } from "node:crypto";
import type { Identity } from "./authorizer.ts";

/** Who asks: the mirror itself, or a client with its own login, whose header is passed on as it came. */
export type Asker = Identity | { readonly authorization: string };

/** Tells askers apart without holding their logins. */
export function askerKey(asker: Asker): string {
  return typeof asker === "object" ? createHash("sha256").update(asker.authorization).digest("base64url") : asker;
}
