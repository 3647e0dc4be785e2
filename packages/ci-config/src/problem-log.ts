import type { Problem } from "./pipeline.ts";
import type { Place } from "./yaml/nodes.ts";

/** Collects everything that is wrong, so that one run names all of it. */
export class ProblemLog {
  readonly errors: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #seen = new Set<string>();

  /** @param subject - the job or section; a template used by many jobs is reported for the first of them only */
  error(place: Place, code: string, subject: string, text: string): void {
    this.#add(this.errors, place, code, subject, text);
  }

  /** @param subject - as for {@link error} */
  warning(place: Place, code: string, subject: string, text: string): void {
    this.#add(this.warnings, place, code, subject, text);
  }

  #add(list: Problem[], place: Place, code: string, subject: string, text: string): void {
    const file = place.source.path;
    const identity = `${file}\0${place.offset}\0${code}\0${text}`;
    if (this.#seen.has(identity)) return;
    this.#seen.add(identity);
    const message = subject === "" ? text : `${subject}: ${text}`;
    list.push({ file, line: place.source.lineAt(place.offset), code, message });
  }
}
