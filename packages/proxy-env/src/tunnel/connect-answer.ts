import { finished } from "node:stream";
import type { Socket } from "node:net";

/** What a proxy said to CONNECT. */
export interface ConnectAnswer {
  readonly statusCode: number;
  /** Names of the schemes that it accepts. */
  readonly authenticationSchemes: readonly string[];
}

/** An answer's head may not be longer than this. */
const HEAD_MAX_BYTES = 64 * 1024;

/**
 * Reads the head of a proxy's answer. What follows it stays in the socket, for whoever reads it next.
 *
 * @param stop - ends the waiting; the rejection has its reason
 */
export async function readConnectAnswer(socket: Socket, stop: AbortSignal): Promise<ConnectAnswer> {
  for (;;) {
    const answer = parseHead(await readHead(socket, stop));
    // An interim answer comes before the real one.
    if (answer.statusCode >= 200) return answer;
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6 */
function parseHead(head: string): ConnectAnswer {
  const [statusLine = "", ...fields] = head.split(/\r?\n/);
  const [, statusCode] = /^HTTP\/1\.\d (\d{3})(?: |$)/.exec(statusLine) ?? [];
  if (statusCode === undefined) throw new Error("the answer is not HTTP");
  const challenges = fields.flatMap((field) => /^proxy-authenticate:(.*)$/i.exec(field)?.[1] ?? []);
  return { statusCode: Number(statusCode), authenticationSchemes: [...new Set(challenges.flatMap(schemeNames))] };
}

/** @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
export function schemeNames(challenges: string): readonly string[] {
  const withoutQuoted = challenges.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  return [...withoutQuoted.matchAll(/(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s*(?:,|$)|\s+[^=\s])/g)].flatMap(
    ([, name]) => name ?? [],
  );
}

function readHead(socket: Socket, stop: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      socket.off("readable", onReadable);
      stopWatching();
      stop.removeEventListener("abort", onStop);
      act();
    };
    const onReadable = (): void => {
      for (let chunk = readFrom(socket); chunk !== null; chunk = readFrom(socket)) {
        received = Buffer.concat([received, chunk]);
        const end = endOfHead(received);
        if (end !== undefined) {
          const rest = received.subarray(end);
          settle(() => {
            if (rest.length > 0) socket.unshift(rest);
            resolve(received.toString("latin1", 0, end).trimEnd());
          });
          return;
        }
        if (received.length > HEAD_MAX_BYTES) {
          settle(() => reject(new Error("the answer's head is too long")));
          return;
        }
      }
    };
    const onStop = (): void => settle(() => reject(stop.reason));
    const stopWatching = finished(socket, { writable: false }, (error) =>
      settle(() => reject(error ?? new Error("the connection was closed before an answer"))),
    );
    if (stop.aborted) {
      onStop();
      return;
    }
    stop.addEventListener("abort", onStop, { once: true });
    socket.on("readable", onReadable);
    onReadable();
  });
}

function readFrom(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}

/** Where the body begins, or what comes instead of it. */
function endOfHead(bytes: Buffer): number | undefined {
  const ends = ["\r\n\r\n", "\n\n"].map((mark) => ({ at: bytes.indexOf(mark), length: mark.length }));
  const first = ends.filter(({ at }) => at !== -1).sort((one, other) => one.at - other.at)[0];
  return first === undefined ? undefined : first.at + first.length;
}
