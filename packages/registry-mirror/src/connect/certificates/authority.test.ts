import { execFile } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate as NodeCertificate } from "node:crypto";
import { chmod, lstat, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeCertificateFolder, requireProgram, systemEnvironment, systemsFolder } from "@fleetfoot-tooling/systems";
import { X509Certificate } from "./x509.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CertificateAuthorityError } from "../errors.ts";
import { openCa, renewCa } from "./authority.ts";
import type { CaOptions } from "./authority.ts";
import { issueServer } from "./issue.ts";

const run = promisify(execFile);
const dayMs = 24 * 60 * 60_000;
const names: CaOptions = { hosts: ["quay.io", "registry-1.docker.io"], machine: "builder" };

let folder: string;
let directory: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ca-"));
  directory = join(folder, "connect");
});

afterEach(() => rm(folder, { recursive: true }));

async function failure(promise: Promise<unknown>): Promise<CertificateAuthorityError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CertificateAuthorityError) return error;
  throw new Error(`it did not fail as it should: ${String(error)}`);
}

describe("openCa", () => {
  it("RM K8: makes directory and key for their owner only, whatever the umask, and the same certificate is there the second time", async () => {
    const program = `import { openCa } from ${JSON.stringify(new URL("authority.ts", import.meta.url).href)};
      process.umask(0);
      const ca = await openCa(${JSON.stringify({ directory })}, ${JSON.stringify(names)});
      process.stdout.write(ca.fingerprint + " " + ca.isNew);`;
    const start = async (): Promise<string> =>
      (await run(process.execPath, ["--input-type=module", "-e", program])).stdout;
    const [first, second] = [await start(), await start()];
    const modeOf = async (path: string): Promise<number> => (await lstat(path)).mode & 0o777;
    expect(await modeOf(directory)).toBe(0o700);
    expect(await modeOf(join(directory, "ca.key"))).toBe(0o600);
    expect(await modeOf(join(directory, "ca.crt"))).toBe(0o644);
    expect(first).toMatch(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2} true$/);
    expect(second).toBe(first.replace("true", "false"));
    expect(await readdir(folder)).toEqual(["connect"]);
  });

  it("makes an authority that can sign nothing but servers, for five years", async () => {
    const now = Date.parse("2026-11-21T12:00:00Z");
    const { certificate, expiresAtMs, warnings } = await openCa({ directory }, { ...names, now: () => now });
    const node = new NodeCertificate(certificate);
    expect(node.subject).toBe("CN=fleetfoot-mirror builder 2026-11-21");
    expect([node.ca, expiresAtMs, warnings]).toEqual([true, now + 5 * 365 * dayMs, []]);
    await requireProgram("openssl");
    await writeFile(join(folder, "ca.pem"), certificate);
    const { stdout } = await run("openssl", ["x509", "-in", join(folder, "ca.pem"), "-noout", "-text"]);
    expect(stdout).toContain("CA:TRUE, pathlen:0");
    expect(stdout).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(stdout).toMatch(
      /Name Constraints: critical\s+Permitted:\s+DNS:quay.io\s+DNS:registry-1.docker.io\s+Excluded:\s+IP:0.0.0.0/,
    );
    const late = await openCa({ directory }, { ...names, now: () => expiresAtMs - 59 * dayMs });
    expect(late.warnings).toEqual([expect.stringContaining("expires in 59 days")]);
  });

  it("RM K9: is refused with a key that others can read", async () => {
    await openCa({ directory }, names);
    await chmod(join(directory, "ca.key"), 0o640);
    expect(await failure(openCa({ directory }, names))).toMatchObject({
      file: join(directory, "ca.key"),
      message: expect.stringContaining("0600"),
    });
  });

  it.each(["ca.key", "ca.crt", "."])("RM K9: is refused when %s is a link", async (name) => {
    await openCa({ directory }, names);
    const path = join(directory, name);
    await rename(path, join(folder, "elsewhere"));
    await symlink(join(folder, "elsewhere"), path.replace(/\/\.?$/, ""));
    expect(await failure(openCa({ directory }, names))).toMatchObject({
      message: expect.stringContaining("is a link"),
    });
  });

  it("RM K9: is refused with the key of another authority", async () => {
    await openCa({ directory }, names);
    await openCa({ directory: join(folder, "other") }, names);
    await rename(join(folder, "other", "ca.key"), join(directory, "ca.key"));
    const { message } = await failure(openCa({ directory }, names));
    expect(message).toContain("does not belong to the key");
    expect(message).toContain(join(directory, "ca.crt"));
  });

  it("RM K9: is refused when its certificate has expired, is of no authority, or is missing", async () => {
    const { expiresAtMs } = await openCa({ directory }, names);
    expect((await failure(openCa({ directory }, { ...names, now: () => expiresAtMs }))).message).toContain("expired");
    await using certificates = await makeCertificateFolder();
    const leaf = await (await certificates.makeAuthority("x")).issue();
    await writeFile(join(folder, "leaf.crt"), leaf.certificate);
    await writeFile(join(folder, "leaf.key"), leaf.key, { mode: 0o600 });
    const files = { certFile: join(folder, "leaf.crt"), keyFile: join(folder, "leaf.key") };
    expect((await failure(openCa(files, names))).message).toContain("no certificate of an authority");
    await rm(join(directory, "ca.crt"));
    expect(await failure(openCa({ directory }, names))).toMatchObject({ file: join(directory, "ca.crt") });
    expect(await readdir(directory)).toEqual(["ca.key"]);
  });

  it("RM K9: is one for all who start at once", async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, () => openCa({ directory }, names)));
    expect(new Set(opened.map(({ fingerprint }) => fingerprint)).size).toBe(1);
    expect(opened.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(await readdir(folder)).toEqual(["connect"]);
  });

  it.each(["ec", "rsa"] as const)(
    "signs with an authority of somebody else (%s), and sends what leads to it",
    async (type) => {
      await requireProgram("openssl");
      const root = join(folder, "root.pem");
      const [rootKey, key, certificate] = [join(folder, "root.key"), join(folder, "own.key"), join(folder, "own.pem")];
      const newKey = (file: string): readonly string[] => [
        ...(type === "rsa" ? ["-newkey", "rsa:2048"] : ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]),
        "-nodes",
        "-keyout",
        file,
      ];
      const authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"];
      await run("openssl", [
        "req",
        "-x509",
        "-days",
        "9",
        ...newKey(rootKey),
        "-subj",
        "/CN=root",
        ...authority,
        "-out",
        root,
      ]);
      await run("openssl", [
        "req",
        "-x509",
        "-days",
        "9",
        ...newKey(key),
        "-subj",
        "/O=Company/CN=between",
        ...authority,
        "-CA",
        root,
        "-CAkey",
        rootKey,
        "-out",
        certificate,
      ]);
      const ca = await openCa({ certFile: certificate, keyFile: key }, names);
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const chain = await ca.issue("quay.io", privateKey, { fromMs: Date.now() - 1000, toMs: Date.now() + dayMs });
      expect(chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
      expect(await verify(chain, root)).toContain("OK");
    },
  );
});

describe("name constraints", () => {
  it("RM K24: let openssl and Go refuse what a stolen key could make, and a new list keeps old clients", async () => {
    await requireProgram("openssl");
    const ca = await openCa({ directory }, names);
    const old = join(folder, "old.pem");
    await writeFile(old, ca.certificate);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const validity = { fromMs: Date.now() - 1000, toMs: Date.now() + dayMs };
    const stolen = createPrivateKey(await readFile(join(directory, "ca.key"), "utf8"));
    const forge = (host: string): Promise<string> =>
      issueServer(host, privateKey, validity, { certificate: new X509Certificate(ca.certificate), key: stolen });
    const good = await ca.issue("quay.io", privateKey, validity);
    const [foreign, address] = [await forge("example.org"), await forge("10.1.2.3")];
    expect(await verify(good, old)).toContain("OK");
    expect(await verify(foreign, old)).toContain("permitted subtree violation");
    expect(await verify(address, old)).toContain("excluded subtree violation");
    const go = await goVerifier(folder);
    expect(await go(good, old, "quay.io")).toBe("ok");
    expect(await go(foreign, old, "example.org")).toContain("is not permitted");
    expect(await go(address, old, "10.1.2.3")).toContain("is excluded");

    const more = { ...names, hosts: [...names.hosts, "ghcr.io"] };
    const { message } = await failure(openCa({ directory }, more));
    expect(message).toContain("does not hold for ghcr.io");
    expect(message).toContain("fleetfoot-mirror configure ca --renew");
    await renewCa({ directory }, more);
    const renewed = await openCa({ directory }, more);
    expect(renewed.fingerprint).not.toBe(ca.fingerprint);
    const fresh = join(folder, "new.pem");
    await writeFile(fresh, renewed.certificate);
    const after = await renewed.issue("quay.io", privateKey, validity);
    const added = await renewed.issue("ghcr.io", privateKey, validity);
    expect(await verify(after, old)).toContain("OK");
    expect(await go(after, old, "quay.io")).toBe("ok");
    expect(await verify(added, old)).toContain("permitted subtree violation");
    expect(await verify(added, fresh)).toContain("OK");
    expect((await lstat(join(directory, "ca.crt"))).mode & 0o777).toBe(0o644);
  }, 120_000);

  it("hold for a listed address, and for no other", async () => {
    await requireProgram("openssl");
    const only = { ...names, hosts: ["198.51.100.7", "quay.io"] };
    const ca = await openCa({ directory }, only);
    const trusted = join(folder, "ca.pem");
    await writeFile(trusted, ca.certificate);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const validity = { fromMs: Date.now() - 1000, toMs: Date.now() + dayMs };
    expect(await verify(await ca.issue("198.51.100.7", privateKey, validity), trusted)).toContain("OK");
    expect(await verify(await ca.issue("198.51.100.8", privateKey, validity), trusted)).toContain(
      "permitted subtree violation",
    );
    expect((await failure(openCa({ directory }, { ...only, hosts: ["198.51.100.8"] }))).message).toContain(
      "198.51.100.8",
    );
  });
});

/** What openssl says of a chain, the server's certificate first. */
async function verify(chain: string, trusted: string): Promise<string> {
  const file = join(folder, "chain.pem");
  await writeFile(file, chain);
  const words = ["verify", "-CAfile", trusted, "-untrusted", file, file];
  return run("openssl", words).then(
    ({ stdout }) => stdout,
    (error: { readonly stdout: string; readonly stderr: string }) => `${error.stdout}${error.stderr}`,
  );
}

/** A small program in Go, as engines are written in, that checks a certificate for a name. */
async function goVerifier(home: string): Promise<(chain: string, trusted: string, name: string) => Promise<string>> {
  const source = `package main
import ("crypto/x509"; "encoding/pem"; "fmt"; "os")
func main() {
  roots := x509.NewCertPool()
  trusted, _ := os.ReadFile(os.Args[2])
  roots.AppendCertsFromPEM(trusted)
  chain, _ := os.ReadFile(os.Args[1])
  block, _ := pem.Decode(chain)
  leaf, err := x509.ParseCertificate(block.Bytes)
  if err == nil { _, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: os.Args[3]}) }
  if err != nil { fmt.Print(err); return }
  fmt.Print("ok")
}`;
  const [file, program] = [join(home, "verify.go"), join(home, "verify")];
  await writeFile(file, source);
  const path = process.env["PATH"] ?? "";
  await run("go", ["build", "-o", program, file], {
    env: {
      ...systemEnvironment(home),
      PATH: path,
      GO111MODULE: "off",
      CGO_ENABLED: "0",
      GOCACHE: join(systemsFolder, "go", "build"),
    },
  });
  return async (chain, trusted, name) => {
    const chainFile = join(home, "go-chain.pem");
    await writeFile(chainFile, chain);
    return (await run(program, [chainFile, trusted, name])).stdout;
  };
}
