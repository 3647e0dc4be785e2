import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { ContainerClient, UserDelegationKey } from "@azure/storage-blob";
import type { TokenCredential } from "@azure/identity";
import type { HttpClient } from "@azure/core-rest-pipeline";
import { Agent } from "undici";
import type { AzureStoreOptions } from "./options.ts";
import { undiciClients } from "./undici-client.ts";

/** A container, the ways to reach it, and what signatures are made with. */
export interface AzureAccount {
  readonly name: string;
  /** Repeats what fails. */
  readonly container: ContainerClient;
  /** Tries once, for bodies that somebody else repeats. */
  readonly containerOnce: ContainerClient;
  /** Whether signatures must be good for plain HTTP, too. */
  readonly insecure: boolean;
  /** The account's key, or one that the service made for this identity and that lives at least until then. */
  signingKey(untilMs: number, signal: AbortSignal | undefined): Promise<StorageSharedKeyCredential | UserDelegationKey>;
}

/** Opens an account. @throws {TypeError} the options name no account or no container */
export function openAccount(options: AzureStoreOptions): AzureAccount {
  const { accountName, accountKey = "", containerName, storageDomain = "", now = Date.now } = options;
  if (accountName === "" || containerName === "") {
    throw new TypeError("a store in Azure needs the names of an account and of a container");
  }
  const url = options.endpoint ?? `https://${accountName}.${storageDomain || "blob.core.windows.net"}`;
  const clients = undiciClients(
    options.dispatcher ?? new Agent({ connect: { timeout: connectTimeoutMs } }),
    options.idleTimeoutMs,
  );
  const sharedKey = accountKey === "" ? undefined : new StorageSharedKeyCredential(accountName, accountKey);
  const credential = sharedKey ?? options.credential ?? defaultCredential(clients.forCredentials);
  const service = (maxTries: number): BlobServiceClient =>
    new BlobServiceClient(url, credential, {
      httpClient: clients.forStorage,
      retryOptions: { maxTries, retryDelayInMs: 1000, maxRetryDelayInMs: 4000 },
    });
  const repeating = service(3);
  let known: { readonly key: UserDelegationKey; readonly untilMs: number } | undefined;
  return {
    name: accountName,
    container: repeating.getContainerClient(containerName),
    containerOnce: service(1).getContainerClient(containerName),
    insecure: url.startsWith("http:"),
    async signingKey(untilMs, signal) {
      if (sharedKey !== undefined) return sharedKey;
      if (known === undefined || known.untilMs < untilMs) {
        // Longer than this one signature needs, so that those of the next minutes can use it, too.
        const lastsUntilMs = Math.min(untilMs + hourMs, now() + weekMs);
        const key = await repeating.getUserDelegationKey(
          new Date(now() - hourMs),
          new Date(lastsUntilMs),
          signal === undefined ? {} : { abortSignal: signal },
        );
        known = { key, untilMs: lastsUntilMs };
      }
      return known.key;
    },
  };
}

const connectTimeoutMs = 30_000;
const hourMs = 3_600_000;
const weekMs = 7 * 24 * hourMs;

/** Its package is large, and accounts with a key never need it. Others load it now, where the first token need not wait for it. */
function defaultCredential(httpClient: HttpClient): TokenCredential {
  const loading = import("@azure/identity").then(
    ({ DefaultAzureCredential }) => new DefaultAzureCredential({ httpClient }),
  );
  // Who asks for a token is told.
  loading.catch(() => {});
  return {
    async getToken(scopes, options) {
      return (await loading).getToken(scopes, options);
    },
  };
}
