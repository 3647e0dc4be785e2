/** Remembers, per runner token, what the coordinator last said about the state of its queue. */
export interface LastUpdates {
  /** The value to send back; undefined before the first answer that had one. */
  get(token: string): string | undefined;
  /** Keeps a value from an answer; an absent or empty one changes nothing. */
  learn(token: string, value: string | undefined): void;
  forget(token: string): void;
}

/** @see coordinator-protocol 4.5 */
export function createLastUpdates(): LastUpdates {
  const values = new Map<string, string>();
  return {
    get: (token) => values.get(token),
    learn(token, value) {
      if (value) {
        values.set(token, value);
      }
    },
    forget(token) {
      values.delete(token);
    },
  };
}
