import { randomUUID } from "node:crypto";
import type { Agent, IncomingHttpHeaders } from "node:http";
import { request as httpRequest } from "node:http";

import type { JobPayload } from "@fleetfoot/coordinator-client";

import type { CoordinatorHandler } from "../coordinator.ts";
import type { ReferenceGeneration } from "./reference-forms.ts";
import { featuresOf, referenceForms } from "./reference-forms.ts";

/** An answer as it came over the wire. */
export interface WireAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface WireRequest {
  readonly method: string;
  /** Below `/api/v4/`, with its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Several pieces are sent chunked, without a length. */
  readonly body: readonly Buffer[];
}

export type SendRequest = (request: WireRequest) => Promise<WireAnswer>;

export interface ReferenceCallsOptions {
  readonly send: SendRequest;
  readonly token: string;
  /** Major version of the runner: the calls of older ones have fewer headers and fields. @default 19 */
  readonly generation?: ReferenceGeneration;
  /** Runners of 14 have none. @default "s_0a1b2c3d4e5f" */
  readonly systemId?: string;
  /** What it says it can do. @default what the reference runner says with its shell executor */
  readonly features?: Readonly<Record<string, boolean>>;
}

/** The token and id of a job, as its own calls need them. */
export type JobAccess = Pick<JobPayload, "id" | "token">;

/**
 * The calls of the reference runner, made one by one and exactly in its form; nothing is retried and nothing remembered but
 * the last update.
 *
 * @see coordinator-protocol 15
 */
export interface ReferenceCalls {
  /**
   * Registers by a registration token; the answer's token is then used for all calls.
   *
   * @param settings - for example `tag_list` and `run_untagged`
   */
  register(registrationToken: string, settings?: Readonly<Record<string, unknown>>): Promise<WireAnswer>;
  verify(): Promise<WireAnswer>;
  /** The job is undefined unless the answer is 201. */
  requestJob(): Promise<WireAnswer & { readonly job: JobPayload | undefined }>;
  updateJob(job: JobAccess, update: Readonly<Record<string, unknown>>): Promise<WireAnswer>;
  patchTrace(job: JobAccess, start: number, bytes: Buffer | string, debugTrace?: boolean): Promise<WireAnswer>;
  uploadArtifacts(job: JobAccess, upload: ReferenceUpload): Promise<WireAnswer>;
  downloadArtifacts(dependency: JobAccess): Promise<WireAnswer>;
  /** Removes the runner as a whole. */
  unregister(): Promise<WireAnswer>;
  unregisterManager(): Promise<WireAnswer>;
}

export interface ReferenceUpload {
  readonly fileName: string;
  readonly content: Buffer;
  readonly type?: string;
  readonly format?: string;
  readonly expireIn?: string;
}

export function createReferenceCalls(options: ReferenceCallsOptions): ReferenceCalls {
  const { send, generation = 19 } = options;
  const form = referenceForms[generation];
  const { systemId = "s_0a1b2c3d4e5f", features = featuresOf(form, form.shellFeatures) } = options;
  const identity = form.hasSystemId ? { system_id: systemId } : {};
  const info = {
    name: "gitlab-runner",
    version: form.version,
    revision: "1a2b3c4d",
    platform: "linux",
    architecture: "amd64",
    executor: "shell",
    shell: "bash",
    features,
    config: { gpus: "" },
  };
  let { token } = options;
  let lastUpdate: string | undefined;

  const call = (
    method: string,
    path: string,
    body: readonly Buffer[],
    headers: Readonly<Record<string, string>>,
  ): Promise<WireAnswer> =>
    send({
      method,
      path,
      body,
      headers: {
        "User-Agent": form.userAgent,
        ...(form.hasRequestId ? { "X-Request-Id": randomUUID().replaceAll("-", "") } : {}),
        ...headers,
        "Accept-Encoding": "gzip",
      },
    });
  const callAsRunner = (
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<WireAnswer> =>
    call(method, path, [Buffer.from(JSON.stringify(body))], {
      ...jsonBody,
      ...headers,
      ...(form.hasRunnerTokenHeader ? { "RUNNER-TOKEN": token } : {}),
    });
  const acceptJson = { Accept: "application/json" };

  return {
    register: async (registrationToken, settings = {}) => {
      const { executor: _, shell: __, ...ofNoExecutor } = info;
      const body = {
        description: "reference runner",
        run_untagged: true,
        locked: true,
        ...(form.hasPaused ? { paused: false } : { active: true }),
        ...settings,
        info: { ...ofNoExecutor, features: featuresOf(form, form.networkFeatures) },
        token: registrationToken,
      };
      token = registrationToken;
      const answer = await callAsRunner("POST", "runners", body, acceptJson);
      if (answer.status === 201) ({ token } = JSON.parse(answer.body.toString("utf8")) as { token: string });
      return answer;
    },
    verify: () =>
      callAsRunner(
        "POST",
        "runners/verify",
        { ...(form.verifiesWithInfo ? { info } : {}), token, ...identity },
        form.hasSystemId ? acceptJson : {},
      ),
    requestJob: async () => {
      const body = { info, token, ...identity, ...(lastUpdate === undefined ? {} : { last_update: lastUpdate }) };
      const answer = await callAsRunner("POST", "jobs/request", body, acceptJson);
      lastUpdate = answer.headers["x-gitlab-last-update"] ?? lastUpdate;
      const job = answer.status === 201 ? (JSON.parse(answer.body.toString("utf8")) as JobPayload) : undefined;
      return { ...answer, job };
    },
    updateJob: (job, update) =>
      call("PUT", `jobs/${job.id}`, [Buffer.from(JSON.stringify({ info, token: job.token, output: {}, ...update }))], {
        ...jsonBody,
        ...(form.updatesWithJobTokenHeader ? { "JOB-TOKEN": job.token } : {}),
      }),
    patchTrace: (job, start, content, debugTrace = false) => {
      const bytes = Buffer.from(content);
      const query = form.tellsDebugTrace ? `?debug_trace=${debugTrace}` : "";
      return call("PATCH", `jobs/${job.id}/trace${query}`, [bytes], {
        "Content-Type": "text/plain",
        "Content-Range": `${start}-${start + bytes.length - 1}`,
        "JOB-TOKEN": job.token,
      });
    },
    uploadArtifacts: (job, upload) => {
      const { body, contentType } = formOf(upload);
      return call("POST", `jobs/${job.id}/artifacts?${queryOf(upload)}`, body, {
        "Content-Type": contentType,
        "JOB-TOKEN": job.token,
      });
    },
    downloadArtifacts: (dependency) =>
      call("GET", `jobs/${dependency.id}/artifacts?direct_download=true`, [], { "JOB-TOKEN": dependency.token }),
    unregister: () => callAsRunner("DELETE", "runners", { token }),
    unregisterManager: () => callAsRunner("DELETE", "runners/managers", { token, ...identity }),
  };
}

/** Sends by node:http, over the agent's connections. */
export function sendByHttp(instanceUrl: string, agent: Agent): SendRequest {
  return async ({ method, path, headers, body }) => {
    const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>();
    const length = body.length === 1 ? { "Content-Length": String(body[0]?.length ?? 0) } : {};
    const outgoing = httpRequest(`${instanceUrl}/api/v4/${path}`, {
      method,
      agent,
      headers: { ...headers, ...length },
    });
    outgoing.on("error", reject);
    outgoing.on("response", (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: plain(incoming.headers), body: Buffer.concat(chunks) }),
      );
    });
    for (const piece of body) outgoing.write(piece);
    outgoing.end();
    return promise;
  };
}

/** Hands requests to a handler in this process. */
export function sendToHandler(handle: CoordinatorHandler, instanceUrl = "http://localhost"): SendRequest {
  return async ({ method, path, headers, body }) => {
    const hasBody = body.length > 0;
    const response = await handle(
      new Request(`${instanceUrl}/api/v4/${path}`, {
        method,
        headers,
        ...(hasBody ? { body: ReadableStream.from(body), duplex: "half" } : {}),
      }),
    );
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: Buffer.from(await response.arrayBuffer()),
    };
  };
}

const jsonBody = { "Content-Type": "application/json" };

function queryOf({ type = "", format = "", expireIn = "" }: ReferenceUpload): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries({ artifact_format: format, artifact_type: type, expire_in: expireIn })) {
    if (value !== "") query.set(key, value);
  }
  return query.toString();
}

function formOf({ fileName, content }: ReferenceUpload): {
  readonly body: readonly Buffer[];
  readonly contentType: string;
} {
  const boundary = `${randomUUID()}${randomUUID()}`.replaceAll("-", "").slice(0, 60);
  const head = [
    `--${boundary}`,
    `Content-Disposition: form-data; name="file"; filename="${fileName}"`,
    "Content-Type: application/octet-stream",
    "",
    "",
  ];
  return {
    body: [Buffer.from(head.join("\r\n")), content, Buffer.from(`\r\n--${boundary}--\r\n`)],
    contentType: `multipart/form-data; boundary=${boundary}`,
  };
}

function plain(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")]),
  );
}
