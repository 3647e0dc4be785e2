import { request as httpRequest } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** One request to the API of a Docker engine. */
export interface EngineRequest {
  readonly method: "DELETE" | "GET" | "HEAD" | "POST" | "PUT";
  /** Path with query, without an API version. */
  readonly path: string;
  /** Sent as JSON; a stream is sent as a tar archive. */
  readonly body?: object | Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The engine's answer, read to its end. */
export interface EngineAnswer {
  readonly status: number;
  /** Raw text; log streams have their frame headers in it. */
  readonly text: string;
  /** The body as JSON. */
  readonly json: () => unknown;
}

/**
 * Sends one request over the engine's Unix socket.
 *
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/
 */
export async function engineRequest(socketPath: string, order: EngineRequest): Promise<EngineAnswer> {
  const { method, path, body, headers } = order;
  const isStream = body !== undefined && "pipe" in body;
  const contentType = isStream ? "application/x-tar" : "application/json";
  const request = httpRequest({
    socketPath,
    method,
    path,
    agent: false,
    headers: { ...(body === undefined ? {} : { "content-type": contentType }), ...headers },
  });
  const answer = new Promise<EngineAnswer>((resolve, reject) => {
    request.once("error", reject);
    request.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.once("error", reject);
      response.once("end", () => {
        resolve({ status: response.statusCode ?? 0, text, json: () => JSON.parse(text) as unknown });
      });
    });
  });
  if (isStream) await Promise.all([pipeline(body, request), answer]);
  else request.end(body === undefined ? undefined : JSON.stringify(body));
  return answer;
}
