import { randomUUID } from "node:crypto";

const NAME = "fleetfoot-put";

/** Tells the object of one conditional put from those of all others, of the same content, too. */
export interface PutMark {
  /** What is stored with the object, beside the metadata that its reader gets. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Says that a request goes off that may store the object. */
  requesting(): void;
  /** Whether what stands in the way may be this put's own object: an earlier request may have stored it, and only its answer was lost. */
  mayBeStored(): boolean;
  /** Whether the object that is there is this put's own. @param metadata - as the service has it */
  isOn(metadata: Readonly<Record<string, string>>): boolean;
}

/** Makes the mark of a put. */
export function createPutMark(): PutMark {
  const id = randomUUID();
  let requests = 0;
  return {
    metadata: { [NAME]: id },
    requesting() {
      requests += 1;
    },
    mayBeStored: () => requests > 1,
    isOn: (metadata) => metadata[NAME] === id,
  };
}

/** Metadata of an object without the mark of its put: what the reader gets. */
export function withoutPutMark(metadata: Readonly<Record<string, string>>): Record<string, string> {
  const { [NAME]: _, ...rest } = metadata;
  return rest;
}
