import type { BodyFacts } from "./bodies.ts";
import { CacheStoreError } from "./errors.ts";
import type { ByteRange, ObjectFacts, StoredObject } from "./store.ts";

/**
 * Takes what a service answered to a request for a part, whose body nobody has begun to read; one that is not what was asked for is released.
 *
 * @param contentRange - the answer's header
 * @returns the part with the facts of the whole object; `undefined` when it is not of the version that was asked for, or begins elsewhere
 * @throws {CacheStoreError} code `ranges-ignored` when the whole object came
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.4
 */
export async function partOfAnswer(
  { store, operation, object }: BodyFacts,
  { start, version }: Pick<ByteRange, "start" | "version">,
  contentRange: string | undefined,
  answered: StoredObject,
): Promise<StoredObject | undefined> {
  const { facts, body } = answered;
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(contentRange ?? "") ?? [];
  if (first === undefined) {
    // Some services refuse any range of an empty object, others answer with all of it.
    if (facts.bytes === 0) return answered;
    await body.cancel();
    throw new CacheStoreError({
      code: "ranges-ignored",
      store,
      operation,
      object,
      reason: "the whole object came",
    });
  }
  if (Number(first) !== start || isOther(facts, version)) {
    await body.cancel();
    return undefined;
  }
  return { facts: { ...facts, bytes: Number(total) }, body };
}

/**
 * What there is of a part behind the end of its object: nothing, which is no failure.
 *
 * @param facts - of the object; `undefined` when there is none any more
 * @returns `undefined` when the object is not of the version that was asked for
 */
export function partBehindEnd(
  { version }: Pick<ByteRange, "version">,
  facts: ObjectFacts | undefined,
): StoredObject | undefined {
  if (facts === undefined || isOther(facts, version)) return undefined;
  return { facts, body: new Blob([]).stream() };
}

function isOther(facts: ObjectFacts, version: string | undefined): boolean {
  return version !== undefined && version !== facts.version;
}
