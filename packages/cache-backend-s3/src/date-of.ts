/** The part of a command that the date is read from. */
interface Watched {
  readonly middlewareStack: {
    // The middleware of the SDK is typed per command; only the header of the answer matters here.
    add(middleware: (next: Step) => Step, options: { step: "deserialize"; name: string }): void;
  };
}

type Step = (args: never) => Promise<{ readonly response: unknown; readonly output: never }>;

/**
 * Remembers when the service answered a command: what was put has that time, by the service's own clock, and asking for it
 * would take a request of its own that credentials for uploads may not make.
 *
 * @returns gives epoch milliseconds, after the command was sent
 */
export function dateOf(command: object): () => number {
  let date = Number.NaN;
  (command as Watched).middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { headers } = result.response as { readonly headers: Readonly<Record<string, string>> };
      date = Date.parse(headers["date"] ?? "");
      return result;
    },
    { step: "deserialize", name: "rememberDate" },
  );
  return () => (Number.isNaN(date) ? Date.now() : date);
}
