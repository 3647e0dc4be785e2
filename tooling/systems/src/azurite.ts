import { createHmac, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { answers, expectStatus } from "./http.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** A running Azurite, which speaks the API of Azure Blob storage. */
export interface Azurite extends RunningSystem {
  readonly accountName: string;
  /** Base64, as the Azure libraries take it. */
  readonly accountKey: string;
  /** URL of the account's blob service; a container is the next path segment. */
  readonly blobEndpoint: string;
  /** What `BlobServiceClient.fromConnectionString` takes. */
  readonly connectionString: string;
  /** Creates an empty container. */
  createContainer(name: string): Promise<void>;
  /** Sends one signed request, for looking at the store without the client under test. */
  request(request: BlobRequest): Promise<Response>;
}

/** One request to the blob service. */
export interface BlobRequest {
  readonly method: "DELETE" | "GET" | "HEAD" | "PUT";
  /** `/container` or `/container/blob`, already percent-encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const azuriteFlags = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"];

/** Starts an Azurite with an account of its own and no container; blobs are kept in memory. */
export async function startAzurite(): Promise<Azurite> {
  const { program, version } = findAzurite();
  const accountName = `account${randomBytes(4).toString("hex")}`;
  const accountKey = randomBytes(32).toString("base64");
  const system = await startSystem({
    system: "azurite",
    version,
    order: ({ folder, host, port }) => ({
      command: [process.execPath, program, "--blobHost", host, "--blobPort", `${port}`, ...azuriteFlags],
      environment: systemEnvironment(folder, { AZURITE_ACCOUNTS: `${accountName}:${accountKey}` }),
    }),
    // It has no health address; an anonymous request is refused by a storage error, which only a working service makes.
    isReady: ({ host, port }) => answers(`http://${host}:${port}/${accountName}?comp=list`),
  });
  const blobEndpoint = `http://${system.host}:${system.port}/${accountName}`;
  const request = (order: BlobRequest) => signedBlobRequest({ accountName, accountKey, blobEndpoint }, order);
  return {
    ...system,
    accountName,
    accountKey,
    blobEndpoint,
    connectionString: Object.entries({
      DefaultEndpointsProtocol: "http",
      AccountName: accountName,
      AccountKey: accountKey,
      BlobEndpoint: blobEndpoint,
    })
      .map(([name, value]) => `${name}=${value};`)
      .join(""),
    request,
    createContainer: async (name) => {
      await expectStatus(await request({ method: "PUT", path: `/${name}`, query: { restype: "container" } }), 201);
    },
  };
}

/**
 * Sends a request signed with the account's key.
 *
 * @see https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
 */
function signedBlobRequest(
  account: Pick<Azurite, "accountKey" | "accountName" | "blobEndpoint">,
  { method, path, query = {}, headers = {}, body }: BlobRequest,
): Promise<Response> {
  const sent: Record<string, string> = {
    ...headers,
    "x-ms-date": new Date().toUTCString(),
    "x-ms-version": "2025-01-05",
    ...(body === undefined ? {} : { "content-type": "application/octet-stream" }),
  };
  const url = new URL(`${account.blobEndpoint}${path}`);
  url.search = new URLSearchParams(query).toString();
  const microsoftHeaders = Object.keys(sent).filter((name) => name.startsWith("x-ms-"));
  const length = body === undefined || body === "" ? "" : `${Buffer.byteLength(body)}`;
  // Between length and type stands the content's MD5; before the range, the date and four conditions. None is sent.
  const standardHeaders = ["", "", length, "", sent["content-type"] ?? "", "", "", "", "", "", sent["range"] ?? ""];
  const ownHeaders = microsoftHeaders.sort().map((name) => `${name}:${sent[name]}`);
  const parameters = Object.keys(query)
    .sort()
    .map((name) => `${name}:${query[name]}`);
  // The account is part of the path as well, since this service has no host name per account.
  const resource = `/${account.accountName}${url.pathname}`;
  const signed = [method as string].concat(standardHeaders, ownHeaders, resource, parameters).join("\n");
  const signature = createHmac("sha256", Buffer.from(account.accountKey, "base64")).update(signed).digest("base64");
  return fetch(url, {
    method,
    headers: { ...sent, authorization: `SharedKey ${account.accountName}:${signature}` },
    ...(body === undefined ? {} : { body }),
  });
}

function findAzurite(): { readonly program: string; readonly version: string } {
  const require = createRequire(import.meta.url);
  const manifestFile = require.resolve("azurite/package.json");
  const manifest = require(manifestFile) as { readonly version: string; readonly bin: Record<string, string> };
  return { program: join(dirname(manifestFile), manifest.bin["azurite-blob"] ?? ""), version: manifest.version };
}
