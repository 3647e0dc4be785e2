/** An answer with a JSON body. */
export function jsonAnswer(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  const bytes = Buffer.from(JSON.stringify(body));
  return new Response(bytes, {
    status,
    headers: { "Content-Type": "application/json", "Content-Length": String(bytes.length), ...headers },
  });
}

/** An answer that says nothing but its status. */
export function emptyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, { status, headers });
}

/** The form in which the coordinator explains what it refuses. */
export function refusal(status: number, message: string, headers: Readonly<Record<string, string>> = {}): Response {
  return jsonAnswer(status, { message: `${status} ${message}` }, headers);
}
