import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";

import { createArchive, extractArchive, selectFiles } from "@fleetfoot/cache-archive";
import { createCoordinatorClient, Secret } from "@fleetfoot/coordinator-client";
import type { CoordinatorClient, JobArtifact, JobDependency } from "@fleetfoot/coordinator-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { JobLog } from "../job-log.ts";
import { downloadArtifacts, hasArtifactsToDownload } from "./download.ts";
import { ArtifactError } from "../index.ts";
import { hasArtifactsToUpload, uploadArtifacts } from "./upload.ts";
import type { UploadArtifactsOptions } from "./upload.ts";

const JOB_TOKEN = "glcbt-secret-of-this-job";

let scratch: string;
let project: string;
let temporary: string;
let server: TestServer;
let client: CoordinatorClient;
let waits: number[];
let lines: string[];

beforeEach(async () => {
  scratch = await realpath(await mkdtemp(path.join(tmpdir(), "artifacts-")));
  project = path.join(scratch, "project");
  temporary = path.join(scratch, "temporary");
  await mkdir(project);
  await mkdir(temporary);
  server = await startServer();
  waits = [];
  lines = [];
  client = createCoordinatorClient({
    url: server.url,
    info: { name: "gitlab-runner", version: "1" },
    maxAttempts: 1,
    sleep: async (ms) => {
      waits.push(ms);
    },
  });
});

afterEach(async () => {
  await client.close();
  await server.close();
  await rm(scratch, { recursive: true, force: true });
});

describe("uploadArtifacts", () => {
  it("sends one zip with the chosen files, its type, format and expiry, and removes its own copy", async () => {
    await write("dist/app.js", "code");
    await write("dist/app.js.map", "map");
    await upload({
      name: "",
      paths: ["dist"],
      exclude: ["**/*.map"],
      expire_in: "1 week",
      artifact_type: "archive",
      artifact_format: "zip",
    });
    const [request] = server.requests;
    expect(request?.url).toBe("/api/v4/jobs/7/artifacts?artifact_format=zip&artifact_type=archive&expire_in=1+week");
    expect(request?.token).toBe(JOB_TOKEN);
    const file = await uploaded(0);
    expect(file.name).toBe("artifacts.zip");
    await writeFile(path.join(scratch, "sent.zip"), file.bytes);
    await extractArchive({ archivePath: path.join(scratch, "sent.zip"), root: path.join(scratch, "out") });
    expect(await readdir(path.join(scratch, "out/dist"))).toEqual(["app.js"]);
    expect(await readdir(temporary)).toEqual([]);
    expect(lines).toContain("plain: dist: found 2 matching artifact files and directories");
    expect(lines).toContain("plain: **/*.map: excluded 1 files and directories");
  });

  it.each([
    { row: "CA H-1", name: "a/b $X", expected: "b 1.zip" },
    { row: "a name that expands to nothing", name: "$EMPTY", expected: "default.zip" },
    { row: "a name that is a dot", name: ".", expected: "default.zip" },
    { row: "no name", name: undefined, expected: "artifacts.zip" },
    { row: "a name that must not be executed", name: "x-$(pwd)", expected: "x-$(pwd).zip" },
  ])("$row: sends the file name $expected", async ({ name, expected }) => {
    await write("f", "");
    await upload({ ...(name === undefined ? {} : { name }), paths: ["f"] }, { environment: { X: "1", EMPTY: "" } });
    expect((await uploaded(0)).name).toBe(expected);
  });

  it("CA H-2: packs a report of two files as one gzip with two members in byte order", async () => {
    await write("reports/b.xml", "<b/>");
    await write("reports/a b%é.xml", "<a/>");
    for (const name of await readdir(path.join(project, "reports"))) {
      await utimes(path.join(project, "reports", name), 1_700_000_000.9, 1_700_000_000.9);
    }
    await upload({ name: "junit.xml", paths: ["reports/*.xml"], artifact_type: "junit", artifact_format: "gzip" });
    const { name, bytes } = await uploaded(0);
    expect(name).toBe("junit.xml.gz");
    expect(gunzipSync(bytes).toString()).toBe("<a/><b/>");
    const first = readMember(bytes, 0);
    expect(first).toMatchObject({
      name: "e:a%20b%25%C3%A9.xml",
      comment: "e:reports%2Fa%20b%25%C3%A9.xml",
      mtime: 1_700_000_000,
    });
    const second = readMember(bytes, bytes.indexOf(Buffer.from([0x1f, 0x8b, 8]), 10));
    expect(second).toMatchObject({ name: "b.xml", comment: "reports/b.xml", mtime: 1_700_000_000 });
    await writeFile(path.join(scratch, "junit.gz"), bytes);
    expect(execFileSync("gzip", ["-dc", path.join(scratch, "junit.gz")]).toString()).toBe("<a/><b/>");
  });

  it("refuses a folder or a link in a gzip report, and names it", async () => {
    await write("reports/a.xml", "");
    const folder = await failure(upload({ name: "junit.xml", paths: ["reports"], artifact_format: "gzip" }));
    expect(folder).toMatchObject({ code: "unsuitable-files", failureReason: "script_failure" });
    expect(folder.message).toContain('"reports" is a directory');
    await symlink("a.xml", path.join(project, "reports/l.xml"));
    const link = await failure(upload({ name: "junit.xml", paths: ["reports/*"], artifact_format: "gzip" }));
    expect(link.message).toContain('"reports/l.xml" is a symlink');
    expect(server.requests).toEqual([]);
  });

  it("sends a raw report as it is, under its own name", async () => {
    await write("gl-sast-report.json", "{}");
    await upload({
      name: "gl-sast-report.json",
      paths: ["gl-sast-report.json"],
      artifact_format: "raw",
      artifact_type: "sast",
    });
    const { name, bytes } = await uploaded(0);
    expect([name, bytes.toString()]).toEqual(["gl-sast-report.json", "{}"]);
    expect(await readFile(path.join(project, "gl-sast-report.json"), "utf8")).toBe("{}");
  });

  it("CA H-3: a raw report with two files fails the job, with what to do", async () => {
    await write("a.json", "");
    await write("b.json", "");
    const error = await failure(upload({ name: "sast.json", paths: ["*.json"], artifact_format: "raw" }));
    expect(error).toMatchObject({ code: "unsuitable-files", failureReason: "script_failure", retryable: false });
    expect(error.message).toBe(
      'packing artifacts "sast.json" failed: this kind of report is exactly one file, but its paths match 2 files and directories. Name one file.',
    );
  });

  it("CA H-4: no matching file is an error line, and the job goes on with the next set", async () => {
    await write("b", "");
    await uploadAll([
      { name: "first", paths: ["nothing/*"] },
      { name: "second", paths: ["b"] },
    ]);
    expect(lines).toContain('error: No files to upload for "first.zip".');
    expect(lines.join("\n")).toContain(`"nothing/*" matches no files in the working directory ${project}`);
    expect(server.requests).toHaveLength(1);
    expect((await uploaded(0)).name).toBe("second.zip");
  });

  it("CA H-5: an upload that meets 503 five times succeeds on the sixth try, with the same bytes", async () => {
    await write("f", "content");
    server.answer(...Array.from({ length: 5 }, () => 503), 201);
    await upload({ paths: ["f"] });
    expect(server.requests).toHaveLength(6);
    expect(waits).toEqual([1000, 2000, 4000, 5000, 5000]);
    expect((await uploaded(5)).bytes).toEqual((await uploaded(0)).bytes);
  });

  it("CA H-6: 413 is one try and fails the job", async () => {
    await write("f", "");
    server.answer(413);
    const error = await failure(upload({ name: "big", paths: ["f"] }));
    expect(server.requests).toHaveLength(1);
    expect(error).toMatchObject({ code: "upload-too-large", failureReason: "script_failure" });
    expect(error.message).toMatch(/^uploading artifacts "big\.zip" failed: .*413.*raise the coordinator's limit/);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("tells a refusal from a coordinator that does not answer, and never shows the token", async () => {
    await write("f", "");
    server.answer(403);
    const refused = await failure(upload({ paths: ["f"] }));
    expect(refused).toMatchObject({ code: "upload-forbidden", failureReason: "script_failure" });
    server.answer(500);
    const broken = await failure(upload({ paths: ["f"] }));
    expect(broken).toMatchObject({ code: "upload-failed", failureReason: "runner_system_failure", retryable: true });
    expect(`${refused.message}${broken.message}${lines.join("")}`).not.toContain(JOB_TOKEN);
  });

  it("does not attempt the sets after one that failed", async () => {
    await write("f", "");
    server.answer(403, 201);
    await failure(uploadAll([{ paths: ["f"] }, { paths: ["f"] }]));
    expect(server.requests).toHaveLength(1);
  });

  it.each([
    ["on_success", true, false],
    ["", true, false],
    [undefined, true, false],
    ["on_failure", false, true],
    ["always", true, true],
  ])("with when %s it uploads after success: %s, after failure: %s", async (when, afterSuccess, afterFailure) => {
    await write("f", "");
    const artifact = { paths: ["f"], ...(when === undefined ? {} : { when }) };
    for (const [succeeded, expected] of [
      [true, afterSuccess],
      [false, afterFailure],
    ] as const) {
      const before = server.requests.length;
      expect(hasArtifactsToUpload([artifact], succeeded)).toBe(expected);
      await upload(artifact, { succeeded });
      expect(server.requests.length - before).toBe(expected ? 1 : 0);
    }
  });

  it("has nothing to do for a set without paths", () => {
    expect(hasArtifactsToUpload([{ name: "x", paths: [] }], true)).toBe(false);
    expect(hasArtifactsToUpload([{ untracked: true }], true)).toBe(true);
  });

  it("warns of an unknown compression level and refuses an impossible concurrency", async () => {
    await write("f", "");
    await upload({ paths: ["f"] }, { environment: { ARTIFACT_COMPRESSION_LEVEL: "Fast" } });
    expect(lines).toContainEqual(
      expect.stringMatching(/^warning: ARTIFACT_COMPRESSION_LEVEL is "Fast".*"default" is used/),
    );
    const error = await failure(upload({ paths: ["f"] }, { environment: { FASTZIP_ARCHIVER_CONCURRENCY: "0" } }));
    expect(error.message).toContain('FASTZIP_ARCHIVER_CONCURRENCY is "0": concurrency must be at least 1');
  });

  it("rejects with the signal's reason and leaves no file behind", async () => {
    await write("f", "");
    const stop = new AbortController();
    const reason = new Error("canceled");
    const work = upload(
      { paths: ["f"] },
      {
        signal: stop.signal,
        upload: async () => {
          stop.abort(reason);
          throw reason;
        },
      },
    );
    await expect(work).rejects.toBe(reason);
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe("downloadArtifacts", () => {
  const dependency: JobDependency = {
    id: 5,
    name: "build",
    token: "glcbt-other",
    artifacts_file: { filename: "artifacts.zip", size: 1 },
  };

  it("unpacks each dependency's archive into the project, with that job's token", async () => {
    server.serve(await zipOf({ "dist/app": "new" }), await zipOf({ "dist/lib": "lib" }));
    await write("dist/app", "old");
    await download([dependency, { ...dependency, id: 6, name: "lib", token: "glcbt-six" }]);
    expect(await readFile(path.join(project, "dist/app"), "utf8")).toBe("new");
    expect(await readFile(path.join(project, "dist/lib"), "utf8")).toBe("lib");
    expect(server.requests.map(({ url, token }) => [url, token])).toEqual([
      ["/api/v4/jobs/5/artifacts?direct_download=true", "glcbt-other"],
      ["/api/v4/jobs/6/artifacts?direct_download=true", "glcbt-six"],
    ]);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("CA H-7: an artifact that is gone fails the job", async () => {
    server.answer(404);
    const error = await failure(download([dependency]));
    expect(server.requests).toHaveLength(1);
    expect(error).toMatchObject({ code: "download-not-found", failureReason: "script_failure" });
    expect(error.message).toMatch(/^downloading artifacts from build \(5\) failed: .*404.*expired/);
    expect(error.message).not.toContain("glcbt-other");
  });

  it("CA H-8: after a failed direct download the next request asks without it", async () => {
    const archive = await zipOf({ f: "x" });
    const storage = await startServer();
    storage.answer(500);
    server.handle((_request, response) => {
      if (server.requests.length === 1) response.writeHead(302, { location: `${storage.url}/object` }).end();
      else response.writeHead(200).end(archive);
    });
    await download([dependency]);
    await storage.close();
    expect(server.requests.map(({ url }) => url)).toEqual([
      "/api/v4/jobs/5/artifacts?direct_download=true",
      "/api/v4/jobs/5/artifacts",
    ]);
    // Once for a part of it, and once for all of it.
    expect(storage.requests.map(({ url, token }) => [url, token])).toEqual([
      ["/object", undefined],
      ["/object", undefined],
    ]);
    expect(await readFile(path.join(project, "f"), "utf8")).toBe("x");
  });

  it("starts over when a download breaks off", async () => {
    const archive = await zipOf({ f: "x".repeat(100_000) });
    server.handle((_request, response) => {
      if (server.requests.length > 1) {
        response.writeHead(200).end(archive);
        return;
      }
      response.writeHead(200, { "content-length": archive.length + 500 });
      response.write(Buffer.concat([archive, Buffer.alloc(400)]), () => response.destroy());
    });
    await download([dependency]);
    expect(server.requests).toHaveLength(2);
    expect((await stat(path.join(project, "f"))).size).toBe(100_000);
  });

  it("fails the job for an archive that is damaged, and says what to do", async () => {
    server.serve((await zipOf({ f: "x" })).subarray(0, 40));
    const error = await failure(download([dependency]));
    expect(error).toMatchObject({ code: "unpacking-failed", failureReason: "script_failure" });
    expect(error.message).toContain("unpacking artifacts from build (5) failed");
    expect(error.message).toContain("was cut off");
    expect(await readdir(temporary)).toEqual([]);
  });

  it("skips dependencies without artifacts", async () => {
    const empty = [
      { id: 1, name: "a", token: "t" },
      { id: 2, name: "b", token: "t", artifacts_file: { filename: "" } },
    ];
    expect(hasArtifactsToDownload(empty)).toBe(false);
    expect(hasArtifactsToDownload([...empty, dependency])).toBe(true);
    await download(empty);
    expect(server.requests).toEqual([]);
  });
});

async function write(name: string, content: string): Promise<void> {
  await mkdir(path.dirname(path.join(project, name)), { recursive: true });
  await writeFile(path.join(project, name), content);
}

async function upload(artifact: JobArtifact, options: Partial<UploadArtifactsOptions> = {}): Promise<void> {
  await uploadAll([artifact], options);
}

async function uploadAll(
  artifacts: readonly JobArtifact[],
  options: Partial<UploadArtifactsOptions> = {},
): Promise<void> {
  await uploadArtifacts({
    artifacts,
    succeeded: true,
    projectDirectory: project,
    temporaryDirectory: temporary,
    environment: {},
    upload: async (file) => await client.uploadArtifacts({ id: 7, token: new Secret(JOB_TOKEN) }, file),
    log,
    signal: new AbortController().signal,
    ...options,
  });
}

async function download(dependencies: readonly JobDependency[]): Promise<void> {
  await downloadArtifacts({
    dependencies,
    projectDirectory: project,
    temporaryDirectory: temporary,
    download: async ({ id, token }, file) =>
      await client.downloadArtifactsToFile({ id, token: new Secret(token) }, file),
    log,
    signal: new AbortController().signal,
  });
}

const log: JobLog = {
  plain: (text) => lines.push(`plain: ${text}`),
  info: (text) => lines.push(`info: ${text}`),
  notice: (text) => lines.push(`notice: ${text}`),
  warning: (text) => lines.push(`warning: ${text}`),
  error: (text) => lines.push(`error: ${text}`),
};

async function failure(work: Promise<unknown>): Promise<ArtifactError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ArtifactError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

async function uploaded(index: number): Promise<{ name: string; bytes: Buffer }> {
  const request = server.requests[index];
  if (request === undefined) throw new Error(`there was no request ${index}`);
  const form = await new Response(request.body, { headers: { "content-type": request.type } }).formData();
  const file = form.get("file");
  if (file === null || typeof file === "string") throw new Error("the form has no file");
  return { name: file.name, bytes: Buffer.from(await file.arrayBuffer()) };
}

async function zipOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const root = await mkdtemp(path.join(scratch, "source-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), content);
  }
  const { entries } = await selectFiles({ root, paths: ["*"] });
  const archivePath = path.join(scratch, "made.zip");
  await createArchive({ root, entries, archivePath });
  return await readFile(archivePath);
}

/** Name, comment and time of the gzip member that begins here. @see RFC 1952 2.3 */
function readMember(bytes: Buffer, start: number): { name: string; comment: string; mtime: number } {
  const nameEnd = bytes.indexOf(0, start + 10);
  const commentEnd = bytes.indexOf(0, nameEnd + 1);
  return {
    name: bytes.toString("latin1", start + 10, nameEnd),
    comment: bytes.toString("latin1", nameEnd + 1, commentEnd),
    mtime: bytes.readUInt32LE(start + 4),
  };
}

interface ServedRequest {
  readonly url: string;
  readonly token: string | undefined;
  readonly type: string;
  readonly body: Buffer<ArrayBuffer>;
}

interface TestServer {
  readonly url: string;
  readonly requests: ServedRequest[];
  /** Statuses in turn; the last one repeats. */
  answer(...statuses: number[]): void;
  /** Bodies in turn. */
  serve(...bodies: Buffer[]): void;
  handle(answer: (request: IncomingMessage, response: ServerResponse) => void): void;
  close(): Promise<void>;
}

async function startServer(): Promise<TestServer> {
  const requests: ServedRequest[] = [];
  let answer = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(201).end();
  };
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const token = request.headers["job-token"];
      requests.push({
        url: request.url ?? "",
        token: typeof token === "string" ? token : undefined,
        type: request.headers["content-type"] ?? "",
        body: Buffer.concat(pieces),
      });
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    answer(...statuses) {
      const queue = [...statuses];
      answer = (_request, response) => {
        const status = (queue.length > 1 ? queue.shift() : queue[0]) ?? 500;
        response.writeHead(status).end();
      };
    },
    serve(...bodies) {
      const queue = [...bodies];
      answer = (_request, response) => {
        response.writeHead(200).end(queue.shift());
      };
    },
    handle(handler) {
      answer = handler;
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
