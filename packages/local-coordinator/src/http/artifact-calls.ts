import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { Readable } from "node:stream";

import { artifactFormats, artifactType } from "../artifacts/artifact-types.ts";
import { DotenvError, readDotenvReport } from "../artifacts/dotenv.ts";
import type { Core } from "../core.ts";
import { artifactPath } from "../jobs/job-entry.ts";
import type { JobRecord } from "../jobs/job-record.ts";
import type { StoredArtifact } from "../jobs/job-view.ts";
import type { ReceivedFile } from "../storage/artifact-file.ts";
import { receiveFile } from "../storage/artifact-file.ts";
import { jsonAnswer, refusal } from "./answers.ts";
import { findJob, jobStatusHeader, refuseUnlessExecuting } from "./job-access.ts";
import { findFilePart, MultipartError } from "./multipart.ts";

/** @see coordinator-protocol 9.1 */
export async function uploadArtifacts(core: Core, request: Request, id: number): Promise<Response> {
  const record = findJob(core, id, request);
  if (record instanceof Response) return record;
  const refused = refuseUnlessExecuting(record);
  if (refused !== undefined) return refused;
  if (!core.settings.artifactsEnabled) return refusal(405, "Method Not Allowed");
  const query = new URL(request.url).searchParams;
  const type = query.get("artifact_type") ?? "archive";
  const format = query.get("artifact_format") ?? "zip";
  if (artifactType(type) === undefined) return refusal(400, "Bad request - artifact_type is invalid");
  if (!artifactFormats.includes(format)) return refusal(400, "Bad request - artifact_format is invalid");

  const { maxArtifactBytes } = core.settings;
  if (Number(request.headers.get("content-length") ?? 0) > maxArtifactBytes + maxFormBytes) return tooLarge();
  const body = (request.body ?? noBytes())[Symbol.asyncIterator]();
  try {
    const part = await findFilePart(body, request.headers.get("content-type") ?? "", "file");
    if (part === undefined) return refusal(400, "Bad request - Missing artifacts file!");
    const directory = `${record.directory}/artifacts`;
    const name = `${type}-${core.settings.randomHex(6)}.partial`;
    const received = await receiveFile(directory, name, part.content, maxArtifactBytes, core.keeper.isLasting);
    if (received === undefined) return tooLarge();
    return await keepArtifact(core, record, received, {
      type,
      format,
      fileName: safeName(part.fileName),
      expireIn: query.get("expire_in") ?? undefined,
    });
  } catch (error) {
    if (error instanceof MultipartError) return refusal(400, `Bad request - ${error.message}`);
    throw error;
  } finally {
    await body.return?.(undefined);
  }
}

/** @see coordinator-protocol 9.2 */
export function downloadArtifacts(core: Core, request: Request, id: number): Response {
  const record = findJob(core, id, request);
  if (record instanceof Response) return record;
  const archive = record.artifacts.get("archive");
  if (archive === undefined) return refusal(404, "Not Found");
  return new Response(Readable.toWeb(createReadStream(archive.path)) as ReadableStream<Uint8Array>, {
    status: 200,
    headers: {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(archive.bytes),
      "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(archive.fileName)}`,
    },
  });
}

async function keepArtifact(
  core: Core,
  record: JobRecord,
  received: ReceivedFile,
  facts: Pick<StoredArtifact, "type" | "format" | "fileName" | "expireIn">,
): Promise<Response> {
  // The job may have ended while the file came in.
  const refused = refuseUnlessExecuting(record);
  const existing = record.artifacts.get(facts.type);
  if (refused !== undefined || existing !== undefined) {
    await received.discard();
    if (refused !== undefined) return refused;
    return existing?.sha256 === received.sha256
      ? created(record)
      : refusal(400, "Bad request - another artifact of this type exists already");
  }
  const { bytes, sha256 } = received;
  const name = `${facts.type}${endings[facts.format] ?? ""}`;
  const artifact = { ...facts, bytes, sha256, uploadedAtMs: core.settings.now() };
  // Taken before the first await, so that of two uploads at once the second one sees the first.
  record.artifacts.set(facts.type, { ...artifact, path: artifactPath(record.directory, name) });
  try {
    const path = await received.keep(name);
    if (facts.type === "dotenv") record.dotenv = await readDotenvReport(path, facts.format);
    core.jobs.changed(record);
  } catch (error) {
    record.artifacts.delete(facts.type);
    if (error instanceof DotenvError) return refusal(400, `Bad request - ${error.message}`);
    throw error;
  }
  return created(record);
}

function created(record: JobRecord): Response {
  return jsonAnswer(201, { message: "201 Created" }, jobStatusHeader(record));
}

function tooLarge(): Response {
  return refusal(413, "Request Entity Too Large");
}

function safeName(fileName: string): string {
  const name = basename(fileName.replaceAll("\\", "/"));
  return name === "" || name === "." || name === ".." ? "artifacts" : name;
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

const endings: Readonly<Record<string, string>> = { zip: ".zip", zipzstd: ".zip", gzip: ".gz", tarzstd: ".tar.zst" };

/** Room for the form around the file. */
const maxFormBytes = 64 * 1024;
