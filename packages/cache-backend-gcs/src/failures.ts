import { CacheStoreError, codeOfStatus, withoutCredentials } from "@fleetfoot/cache-backend";
import type { StoreCall } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "gcs";

/** The error for an answer that no call accepts. @param text - the answer's body, JSON or XML or neither */
export function refusal(call: StoreCall, status: number, text: string): CacheStoreError {
  const { store, operation, object } = call;
  const { serviceCode, message } = wordsOf(text);
  const reason = [`status ${status}`, serviceCode, message].filter((part) => part !== undefined).join(", ");
  return new CacheStoreError({ code: codeOfStatus(status), store, operation, object, reason, status, serviceCode });
}

/** The error for credentials that cannot be had. */
export function noCredentials(call: StoreCall, error: unknown): CacheStoreError {
  call.signal?.throwIfAborted();
  const message = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  return withoutCredentials(call, error, message.slice(0, 300));
}

function wordsOf(text: string): { readonly serviceCode: string | undefined; readonly message: string | undefined } {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string; errors?: { reason?: string }[] } };
    return { serviceCode: error?.errors?.[0]?.reason, message: error?.message?.slice(0, 300) };
  } catch {
    // The other one of the service's two interfaces answers in XML.
    const serviceCode = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
    return { serviceCode, message: /<Message>([^<]{0,300})/.exec(text)?.[1] };
  }
}
