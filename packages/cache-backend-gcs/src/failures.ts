import { CacheStoreError, codeOfStatus } from "@fleetfoot/cache-backend";

/** Name of this kind of store. */
export const kind = "gcs";

/** What is attempted, for messages. */
export interface GcsCall {
  readonly store: string;
  readonly operation: string;
  readonly object: string;
  readonly signal: AbortSignal | undefined;
}

/** The error for an answer that no call accepts. @param text - the answer's body, JSON or XML or neither */
export function refusal(call: GcsCall, status: number, text: string): CacheStoreError {
  const { store, operation, object } = call;
  const { serviceCode, message } = wordsOf(text);
  const reason = [`status ${status}`, serviceCode, message].filter((part) => part !== undefined).join(", ");
  return new CacheStoreError({ code: codeOfStatus(status), store, operation, object, reason, status, serviceCode });
}

/** Turns what the transport or the credentials throw into the contract's error; the reason of an abort passes through. */
export function asStoreError(call: GcsCall, error: unknown): unknown {
  call.signal?.throwIfAborted();
  if (CacheStoreError.isInstance(error) || !(error instanceof Error)) return error;
  const { store, operation, object } = call;
  if (!("code" in error) || typeof error.code !== "string" || error.code.startsWith("ERR_")) return error;
  const failure = { code: "unavailable", store, operation, object, reason: `no answer: ${error.message}` } as const;
  return new CacheStoreError(failure, { cause: error });
}

/** The error for credentials that cannot be had. */
export function noCredentials(call: GcsCall, error: unknown): CacheStoreError {
  call.signal?.throwIfAborted();
  const { store, operation, object } = call;
  const message = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  const reason = `no credentials: ${message.slice(0, 300)}`;
  return new CacheStoreError({ code: "access-denied", store, operation, object, reason }, { cause: error });
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
