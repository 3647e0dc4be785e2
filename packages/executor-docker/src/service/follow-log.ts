import { Writable } from "node:stream";

import { demultiplex } from "../engine/demultiplex.ts";
import type { Engine } from "../engine/engine.ts";
import type { DockerPrepareRequest } from "../types.ts";

export interface FollowOptions {
  readonly engine: Engine;
  readonly containerId: string;
  /** Name by which the job knows the service. */
  readonly alias: string;
  readonly output: NonNullable<DockerPrepareRequest["serviceOutput"]>;
}

/**
 * Shows in the job's log what a service prints, from its start until it or the log ends. Whatever happens to that is no failure of
 * the job.
 */
export async function followLog({ engine, containerId, alias, output }: FollowOptions): Promise<void> {
  const prefix = `[service:${alias}] `;
  const stdout = new PrefixedLines(output("stdout"), prefix);
  const stderr = new PrefixedLines(output("stderr"), prefix);
  for (const stream of [stdout, stderr]) stream.on("error", () => undefined);
  const path = `/containers/${containerId}/logs?follow=1&stdout=1&stderr=1`;
  try {
    const answer = await engine.open({ what: "follow the log of a service", method: "GET", path });
    // Leaving the loop over it closes the connection.
    await demultiplex(answer, { stdout, stderr }, { stdout: 0, stderr: 0 });
  } catch {
    // The log of the job has ended, or the connection.
  }
}

const NEWLINE = 0x0a;

/** Writes a prefix in front of each line, as soon as it begins. */
class PrefixedLines extends Writable {
  readonly #target: Writable;
  readonly #prefix: Buffer;
  #atStart = true;

  constructor(target: Writable, prefix: string) {
    super();
    this.#target = target;
    this.#prefix = Buffer.from(prefix);
  }

  override _write(chunk: Buffer, _: string, done: (error?: Error | null) => void): void {
    if (!this.#target.writable) {
      done(new Error("the log of the job has ended"));
      return;
    }
    const pieces: Buffer[] = [];
    for (let at = 0; at < chunk.length;) {
      const newline = chunk.indexOf(NEWLINE, at);
      const end = newline === -1 ? chunk.length : newline + 1;
      if (this.#atStart) pieces.push(this.#prefix);
      pieces.push(chunk.subarray(at, end));
      this.#atStart = newline !== -1;
      at = end;
    }
    this.#target.write(Buffer.concat(pieces), (error) => done(error));
  }
}
