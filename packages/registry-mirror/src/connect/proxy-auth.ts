import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { ExpiringMap } from "../expiring-map.ts";

/** Names of users to what {@link hashProxyPassword} made of their passwords. */
export type ProxyUsers = Readonly<Record<string, string>>;

/** Checks the login that proxy clients send with each connection. */
export class ProxyDoor {
  readonly #users: ProxyUsers;
  /** Digests of headers that were right: checking a password takes long on purpose, and an engine connects for each layer. */
  readonly #right: ExpiringMap<true>;

  constructor(users: ProxyUsers, now: () => number) {
    this.#users = users;
    this.#right = new ExpiringMap(1000, now);
  }

  /** @param header - value of `Proxy-Authorization` */
  async letsIn(header: string | undefined): Promise<boolean> {
    const [, encoded] = /^basic +([a-z0-9+/=]+)$/i.exec(header ?? "") ?? [];
    if (encoded === undefined) return false;
    const key = createHash("sha256").update(encoded).digest("base64");
    if (this.#right.get(key) === true) return true;
    const login = Buffer.from(encoded, "base64").toString();
    const colon = login.indexOf(":");
    const name = login.slice(0, Math.max(0, colon));
    // A name that nobody has takes as long as a wrong password.
    const hash = Object.hasOwn(this.#users, name) ? this.#users[name] : undefined;
    const isRight = await fitsHash(login.slice(colon + 1), hash ?? nobodysHash);
    if (!isRight || hash === undefined || colon === -1) return false;
    this.#right.set(key, true, rememberedMs);
    return true;
  }
}

/** Makes what stands for a password in the settings. */
export async function hashProxyPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const derived = await derive(password, salt, hashBytes);
  return `scrypt$${salt.toString("base64url")}$${derived.toString("base64url")}`;
}

/** Whether a text is what {@link hashProxyPassword} makes. */
export function isProxyPasswordHash(text: string): boolean {
  return hashForm.test(text);
}

async function fitsHash(password: string, hash: string): Promise<boolean> {
  const [, salt = "", wanted = ""] = hashForm.exec(hash) ?? [];
  const derived = await derive(password, Buffer.from(salt, "base64url"), hashBytes);
  const expected = Buffer.from(wanted, "base64url");
  return expected.byteLength === derived.byteLength && timingSafeEqual(expected, derived);
}

const derive = promisify(scrypt) as (password: string, salt: Buffer, bytes: number) => Promise<Buffer>;
const hashBytes = 32;
const hashForm = /^scrypt\$([\w-]{22})\$([\w-]{43})$/;
const nobodysHash = `scrypt$${"A".repeat(22)}$${"A".repeat(43)}`;
const rememberedMs = 5 * 60_000;
