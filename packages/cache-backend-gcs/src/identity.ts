import { createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Storage } from "@google-cloud/storage";
import { ExternalAccountClient, JWT, UserRefreshClient } from "google-auth-library";
import type { AuthClient, GoogleAuth, OAuth2ClientOptions } from "google-auth-library";
import { fetch as undiciFetch } from "undici";
import type { Dispatcher } from "undici";
import type { GcsStoreOptions } from "./options.ts";

/** Who the requests come from, and who signs. Everything rejects when there are no credentials. */
export interface Identity {
  /** Headers that show the right to a request. */
  headers(url: string): Promise<Record<string, string>>;
  /** E-mail address of who signs. */
  signer(): Promise<string>;
  /** @returns the signature in hexadecimal */
  sign(text: string): Promise<string>;
}

/**
 * Finds credentials and signs as Google's own library does: with a key that is at hand, otherwise by the service IAM.
 * Nothing is looked for before it is needed.
 *
 * @see https://cloud.google.com/docs/authentication/application-default-credentials
 */
export function openIdentity(options: GcsStoreOptions, dispatcher: Dispatcher): Identity {
  const transport: OAuth2ClientOptions = {
    transporterOptions: {
      // No rule of the environment is to decide: every address counts as one that is reached directly.
      noProxy: [/^/],
      fetchImplementation: ((url: string, init: RequestInit) =>
        undiciFetch(url, { ...fetchOptions(init), dispatcher })) as unknown as typeof fetch,
    },
  };
  let opening: Promise<GoogleAuth> | undefined;

  function open(): Promise<GoogleAuth> {
    opening ??= openAuth().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  }

  async function openAuth(): Promise<GoogleAuth> {
    const { universeDomain = "" } = options;
    const authClient = await explicitClient(options, transport);
    return new Storage({
      clientOptions: transport,
      ...(universeDomain === "" ? {} : { universeDomain }),
      ...(authClient === undefined ? {} : { authClient }),
    }).authClient;
  }

  return {
    async headers(url) {
      return Object.fromEntries(await (await open()).getRequestHeaders(url));
    },
    async signer() {
      const auth = await open();
      const client = await auth.getClient();
      if (client instanceof JWT && client.email !== undefined) return client.email;
      return (await auth.getCredentials()).client_email ?? "";
    },
    async sign(text) {
      return Buffer.from(await (await open()).sign(text), "base64").toString("hex");
    },
  };
}

const scopes = ["https://www.googleapis.com/auth/devstorage.read_write"];

/** The credentials that the options name; `undefined` for what the environment has. */
async function explicitClient(
  { credentialsFile = "", accessId = "", privateKey = "", universeDomain = "" }: GcsStoreOptions,
  transport: OAuth2ClientOptions,
): Promise<AuthClient | undefined> {
  const common = { ...transport, ...(universeDomain === "" ? {} : { universeDomain }) };
  if (credentialsFile === "") {
    return accessId === "" ? undefined : new JWT({ ...common, email: accessId, key: checkedKey(privateKey), scopes });
  }
  const content = parseCredentials(credentialsFile, await readFile(credentialsFile, "utf8"));
  switch (content.type) {
    case "service_account": {
      const { client_email: email = "", private_key: key = "", private_key_id: keyId = "" } = content;
      return new JWT({ ...common, email, key: checkedKey(key), keyId, scopes });
    }
    case "authorized_user": {
      const { client_id: clientId, client_secret: clientSecret, refresh_token: refreshToken } = content;
      return new UserRefreshClient({ ...common, clientId, clientSecret, refreshToken } as object);
    }
    case "external_account": {
      const client = ExternalAccountClient.fromJSON({ ...content, ...common } as never);
      if (client !== null) client.scopes = scopes;
      return client ?? undefined;
    }
    default:
      throw new Error(`credentials of the type ${JSON.stringify(content.type)} are not known`);
  }
}

/** What is said of a broken file holds nothing of it. */
function parseCredentials(path: string, text: string): CredentialsFile {
  try {
    return JSON.parse(text) as CredentialsFile;
  } catch {
    throw new Error(`the credentials file ${path} is not valid JSON`);
  }
}

/** As soon as possible, and in words that say what to do. */
function checkedKey(key: string): string {
  try {
    createPrivateKey(key);
    return key;
  } catch (cause) {
    throw new Error(
      "the private key cannot be read; it begins with -----BEGIN PRIVATE KEY----- and has real line breaks, \\n in a string of TOML",
      { cause },
    );
  }
}

/** @see https://google.aip.dev/auth/4112 */
interface CredentialsFile {
  readonly type?: string;
  readonly client_email?: string;
  readonly private_key?: string;
  readonly private_key_id?: string;
  readonly client_id?: string;
  readonly client_secret?: string;
  readonly refresh_token?: string;
}

function fetchOptions({ method, headers, body, signal, redirect }: RequestInit) {
  const given = Object.entries({ method, headers, body, signal, redirect });
  const known = given.filter(([, value]) => value !== undefined && value !== null);
  return { ...Object.fromEntries(known), duplex: "half" } as Parameters<typeof undiciFetch>[1] & {};
}
