import type { JobPayload } from "@fleetfoot/coordinator-client";

import { failureReasons } from "./failure-reasons.ts";

/** What this coordinator tells every runner about itself. @see coordinator-protocol 5.2 */
export function serverFeatures(tokenMaskPrefixes: readonly string[]): JobPayload["features"] {
  return { trace_sections: true, token_mask_prefixes: tokenMaskPrefixes, failure_reasons: failureReasons };
}
