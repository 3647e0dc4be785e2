import { readFile, rm, utimes, writeFile } from "node:fs/promises";
import type { ServerResponse, IncomingMessage } from "node:http";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import type { TLSSocket } from "node:tls";

import { makeCertificateFolder } from "@fleetfoot-tooling/systems";
import { describe, expect, it } from "vitest";

import { roundOfTheLoop } from "../test-support/fakes.ts";
import { JOB_BODY } from "../test-support/job-body.ts";
import { startServer } from "../test-support/recording-server.ts";
import { bytes, createTestClient, job, runner } from "../test-support/test-client.ts";
import { startTlsServer } from "../test-support/tls-server.ts";

const CHUNK = { offset: 0, bytes: bytes("hello") };

function noJob(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(204).end();
}

describe("TLS", () => {
  it("trusts what the platform trusts, and nobody else", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("first");
    await using server = await startTlsServer(await authority.issue(), noJob);
    const before = getCACertificates("default");
    await using stranger = createTestClient({ url: server.url });
    const refused = await stranger.client.requestJob(runner);
    expect(refused).toMatchObject({ status: -1, attempts: 1, healthy: true });
    expect(refused.message).toContain("unable to verify the first certificate");

    setDefaultCACertificates([...before, authority.certificate]);
    try {
      await using test = createTestClient({ url: server.url });
      expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
    } finally {
      setDefaultCACertificates(before);
    }
  });

  it("trusts the authorities of a file in addition to the platform's", async () => {
    await using folder = await makeCertificateFolder();
    const [known, added] = [await folder.makeAuthority("known"), await folder.makeAuthority("added")];
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, `the company's authority\n${added.certificate}`);
    await using knownServer = await startTlsServer(await known.issue(), noJob);
    await using addedServer = await startTlsServer(await added.issue(), noJob);
    const before = getCACertificates("default");

    setDefaultCACertificates([...before, known.certificate]);
    try {
      for (const { url } of [knownServer, addedServer]) {
        await using test = createTestClient({ url, tls: { caFile } });
        expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
      }
    } finally {
      setDefaultCACertificates(before);
    }
  });

  it("CP A59: trusts the new authority with the next request when its file was replaced, without a restart", async () => {
    await using folder = await makeCertificateFolder();
    const [old, next] = [await folder.makeAuthority("old"), await folder.makeAuthority("next")];
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, old.certificate);
    await using server = await startTlsServer(await old.issue(), noJob);
    await using test = createTestClient({ url: server.url, tls: { caFile } });
    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });

    server.replaceCertificate(await next.issue());
    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1 });
    await writeFile(caFile, next.certificate);

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204, attempts: 1 });
    expect(test.logger.at("error")).toEqual([]);
  });

  it("CP A59: no longer trusts the old authority then, also where a connection is open still", async () => {
    await using folder = await makeCertificateFolder();
    const [old, next] = [await folder.makeAuthority("old"), await folder.makeAuthority("next")];
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, old.certificate);
    await using server = await startTlsServer(await old.issue(), noJob);
    await using test = createTestClient({ url: server.url, tls: { caFile } });
    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });

    await writeFile(caFile, next.certificate);

    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1 });
  });

  it("notices a replaced file whose times are those of the file before", async () => {
    await using folder = await makeCertificateFolder();
    const [old, next] = [await folder.makeAuthority("the old one"), await folder.makeAuthority("next")];
    const caFile = join(folder.path, "ca.pem");
    const time = new Date(2026, 0, 1);
    await writeFile(caFile, old.certificate);
    await utimes(caFile, time, time);
    await using server = await startTlsServer(await next.issue(), noJob);
    await using test = createTestClient({ url: server.url, tls: { caFile } });
    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1 });

    await rm(caFile);
    await writeFile(caFile, next.certificate);
    await utimes(caFile, time, time);

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
  });

  it("brings calls that are under way to their end on the connection that they have", async () => {
    await using folder = await makeCertificateFolder();
    const [old, next] = [await folder.makeAuthority("old"), await folder.makeAuthority("next")];
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, old.certificate);
    const held = Promise.withResolvers<ServerResponse>();
    await using server = await startTlsServer(await old.issue(), (request, response) => {
      if (request.method === "POST") held.resolve(response);
      else response.writeHead(200).end();
    });
    await using test = createTestClient({ url: server.url, tls: { caFile } });

    const poll = test.client.requestJob(runner);
    const response = await held.promise;
    await writeFile(caFile, next.certificate);
    expect(await test.client.updateJob(job, { state: "running" })).toMatchObject({ status: -1 });
    response.writeHead(204).end();

    expect(await poll).toMatchObject({ status: 204, attempts: 1 });
  });

  it("shows its own certificate, and the new one when the pair was replaced", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    const [first, second] = [await authority.issue(), await authority.issue()];
    const seen: string[] = [];
    const server = await startTlsServer(
      await authority.issue(),
      (request, response) => {
        seen.push((request.socket as TLSSocket).getPeerCertificate().serialNumber);
        response.writeHead(204).end();
      },
      { requestCert: true, rejectUnauthorized: true, ca: authority.certificate },
    );
    await using _ = server;
    const files = {
      caFile: join(folder.path, "ca.pem"),
      certificateFile: join(folder.path, "client.pem"),
      keyFile: join(folder.path, "client.key"),
    };
    await writeFile(files.caFile, authority.certificate);
    await using test = createTestClient({ url: server.url, tls: files });
    expect(await test.client.requestJob(runner)).toMatchObject({ status: -1 });
    expect(test.logger.at("error")).toEqual([]);

    for (const { certificate, key } of [first, second]) {
      await writeFile(files.certificateFile, certificate);
      await writeFile(files.keyFile, key);
      expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
    }

    expect(seen).toEqual([first, second].map(({ certificate }) => new X509Certificate(certificate).serialNumber));
  });

  it.each([
    { says: "is missing", content: undefined, errors: 0 },
    { says: "holds no certificate", content: "not a certificate", errors: 1 },
    {
      says: "holds a broken certificate",
      content: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      errors: 1,
    },
  ])("uses the platform's authorities alone when the file $says", async ({ content, errors }) => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    await using server = await startTlsServer(await authority.issue(), noJob);
    const caFile = join(folder.path, "ca.pem");
    if (content !== undefined) await writeFile(caFile, content);
    const before = getCACertificates("default");
    setDefaultCACertificates([...before, authority.certificate]);
    try {
      await using test = createTestClient({ url: server.url, tls: { caFile } });

      expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
      expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
      expect(test.logger.at("error")).toHaveLength(errors);
    } finally {
      setDefaultCACertificates(before);
    }
  });

  it("does without a pair that does not fit together, and says so without its content", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    await using server = await startTlsServer(await authority.issue(), noJob);
    const [one, other] = [await authority.issue(), await authority.issue()];
    const files = {
      caFile: join(folder.path, "ca.pem"),
      certificateFile: join(folder.path, "client.pem"),
      keyFile: join(folder.path, "client.key"),
    };
    await writeFile(files.caFile, authority.certificate);
    await writeFile(files.certificateFile, one.certificate);
    await writeFile(files.keyFile, other.key);
    await using test = createTestClient({ url: server.url, tls: files });

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });
    expect(test.logger.at("error")).toMatchObject([{ fields: { file: files.certificateFile } }]);
    expect(JSON.stringify(test.logger.lines)).not.toContain("PRIVATE KEY");
  });

  it("refuses TLS 1.1", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    await using server = await startTlsServer(await authority.issue(), noJob, old);
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, authority.certificate);
    await using test = createTestClient({ url: server.url, tls: { caFile } });

    const result = await test.client.requestJob(runner);

    expect(result).toMatchObject({ status: -1 });
    expect(result.message).toMatch(/protocol version|unsupported protocol/i);
  });
});

describe("certificates for the tools of a job", () => {
  it("are the chain of the connection up to its authority when no file is configured", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    const own = await authority.issue();
    await using server = await startTlsServer(own, answerJob);
    const before = getCACertificates("default");
    setDefaultCACertificates([...before, authority.certificate]);
    try {
      await using test = createTestClient({ url: server.url });
      for (let call = 0; call < 2; call += 1) {
        const { certificates } = await test.client.requestJob(runner);
        expect(certificates?.authority).toBe(own.certificate + authority.certificate);
        expect(certificates).toMatchObject({ certificate: undefined, key: undefined });
        server.replaceCertificate(own);
      }
    } finally {
      setDefaultCACertificates(before);
    }
  });

  it("are the contents of the configured files", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    const pair = await authority.issue();
    await using server = await startTlsServer(await authority.issue(), answerJob);
    const files = {
      caFile: join(folder.path, "ca.pem"),
      certificateFile: join(folder.path, "client.pem"),
      keyFile: join(folder.path, "client.key"),
    };
    await writeFile(files.caFile, authority.certificate);
    await writeFile(files.certificateFile, pair.certificate);
    await writeFile(files.keyFile, pair.key);
    await using test = createTestClient({ url: server.url, tls: files });

    const { certificates } = await test.client.requestJob(runner);

    expect(certificates).toMatchObject({ authority: authority.certificate, certificate: pair.certificate });
    expect(certificates?.key?.reveal()).toBe(pair.key);
    expect(JSON.stringify(certificates)).not.toContain("PRIVATE KEY");
  });

  it("are not there without TLS", async () => {
    await using server = await startServer({ status: 201, body: JOB_BODY });
    await using test = createTestClient({ url: server.url });

    expect(await test.client.requestJob(runner)).not.toHaveProperty("certificates");
  });
});

describe("the age of connections", () => {
  const MINUTE = 60_000;

  it("CP A60: of 20 minutes of polling with a longest age of 15, closes the idle connection once, and no request fails", async () => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url, connectionMaxAgeMs: 15 * MINUTE });

    for (let minute = 0; minute <= 20; minute += 1) {
      expect(await test.client.requestJob(runner)).toMatchObject({ status: 204, attempts: 1 });
      await test.time.sleep(MINUTE);
      await roundOfTheLoop();
    }

    const connections = server.requests.map(({ connection }) => connection);
    expect(new Set(connections.slice(0, 16)).size).toBe(1);
    expect(new Set(connections.slice(16)).size).toBe(1);
    expect(connections[16]).not.toBe(connections[15]);
    await server.closed(connections[0]);
  });

  it("does not touch a request that is under way", async () => {
    const held = Promise.withResolvers<ServerResponse>();
    await using server = await startServer((_request, response) => held.resolve(response), { status: 202 });
    await using test = createTestClient({ url: server.url, connectionMaxAgeMs: 15 * MINUTE });

    const poll = test.client.requestJob(runner);
    const response = await held.promise;
    await test.time.sleep(16 * MINUTE);
    expect(await test.client.patchTrace(job, CHUNK)).toMatchObject({ outcome: "ok" });
    response.writeHead(204).end();

    expect(await poll).toMatchObject({ status: 204, attempts: 1 });
  });

  it("does not keep a forced end from breaking what is under way on an old connection", async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await startServer(() => arrived.resolve(), { status: 202 });
    await using test = createTestClient({ url: server.url, connectionMaxAgeMs: 15 * MINUTE });

    const poll = test.client.requestJob(runner);
    await arrived.promise;
    await test.time.sleep(16 * MINUTE);
    await test.client.patchTrace(job, CHUNK);
    await test.client.close({ force: true });

    expect(await poll).toMatchObject({ status: -1, attempts: 1 });
  });

  it.each([0, -1])("has no limit when it is %i", async (connectionMaxAgeMs) => {
    await using server = await startServer({ status: 204 });
    await using test = createTestClient({ url: server.url, connectionMaxAgeMs });

    for (let day = 0; day < 5; day += 1) {
      await test.client.requestJob(runner);
      await test.time.sleep(24 * 60 * MINUTE);
      await roundOfTheLoop();
    }

    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(1);
  });

  it("is no reason for a failure while many requests come and go", async () => {
    await using server = await startServer({ status: 202 });
    await using test = createTestClient({ url: server.url, connectionMaxAgeMs: 1 });
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        for (let turn = 0; turn < index % 7; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        await test.time.sleep(1);
        return (await test.client.patchTrace(job, CHUNK)).outcome;
      }),
    );

    expect(new Set(outcomes)).toEqual(new Set(["ok"]));
  });
});

describe.runIf(process.platform === "linux")("TCP keepalive", () => {
  it.each([{ secure: false }, { secure: true }])("begins within 30 s of silence (TLS: $secure)", async ({ secure }) => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("company");
    await using server = secure
      ? await startTlsServer(await authority.issue(), noJob)
      : await startServer({ status: 204 });
    const caFile = join(folder.path, "ca.pem");
    await writeFile(caFile, authority.certificate);
    await using test = createTestClient({ url: server.url.replace("127.0.0.1", "localhost"), tls: { caFile } });

    expect(await test.client.requestJob(runner)).toMatchObject({ status: 204 });

    const timer = await keepaliveTimer(Number(new URL(server.url).port));
    expect(timer).toBeGreaterThan(0);
    expect(timer).toBeLessThanOrEqual(30);
  });
});

/** Seconds until the kernel probes the connection to a port; undefined when it will not. */
async function keepaliveTimer(port: number): Promise<number | undefined> {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of (await readFile("/proc/net/tcp", "utf8")).split("\n")) {
    const [, , to, state, , timer = ""] = line.trim().split(/\s+/);
    const [kind, ticks = ""] = timer.split(":");
    if (to === remote && state === "01" && kind === "02") return Number.parseInt(ticks, 16) / TICKS_PER_SECOND;
  }
  return undefined;
}

/** What the kernel shows to programs, whatever it counts by itself. */
const TICKS_PER_SECOND = 100;

function answerJob(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(JOB_BODY));
}
