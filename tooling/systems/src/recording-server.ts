import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Agent } from "undici";
import type { Dispatcher } from "undici";

/** A request as it came over the wire. */
export interface Recorded {
  readonly method: string;
  /** Where it was meant to go, whatever server got it. */
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server on loopback that gets every request, wherever it was meant to go, and keeps it. */
export interface RecordingServer extends AsyncDisposable {
  readonly requests: Recorded[];
  readonly dispatcher: Dispatcher;
}

/** Starts one. @param answer - writes the answer to a request */
export async function startRecordingServer(
  answer: (request: Recorded, response: ServerResponse) => void,
): Promise<RecordingServer> {
  const requests: Recorded[] = [];
  const take = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { "x-test-origin": origin, ...headers } = incoming.headers;
    const request = {
      method: incoming.method ?? "",
      url: new URL(incoming.url ?? "", origin?.toString()),
      headers,
      body: Buffer.concat(chunks).toString("latin1"),
    };
    requests.push(request);
    answer(request, response);
  };
  const server = createServer((incoming, response) => void take(incoming, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent();
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const dispatcher = agent.compose((dispatch) => (options, handler) => {
    const headers = { ...(options.headers as Record<string, string>), "x-test-origin": String(options.origin) };
    return dispatch({ ...options, origin: here, headers }, handler);
  });
  return {
    requests,
    dispatcher,
    async [Symbol.asyncDispose]() {
      await agent.close();
      server.close();
    },
  };
}
