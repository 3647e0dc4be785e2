import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import type { TestContext } from "vitest";
import { systemStarters } from "./catalog.ts";
import type { SystemName, SystemOf } from "./catalog.ts";
import { SystemUnavailableError } from "./errors.ts";
import { requireProgram } from "./programs.ts";
import type { Program, ProgramName } from "./programs.ts";
import { systemsAreRequired } from "./report.ts";

/**
 * Groups tests that need a real system. It starts before the first test and stops after the last; tests ask for it by
 * calling the function they are given. Where the system cannot be had, each test is skipped with the reason, or fails
 * when `FLEETFOOT_SYSTEMS=required`. A system that is there and does not start is always a failure.
 *
 * @param start - starts it otherwise than with its defaults
 */
export function describeWithSystem<Name extends SystemName, System extends AsyncDisposable = SystemOf<Name>>(
  name: Name,
  tests: (system: () => System) => void,
  start: () => Promise<System> = systemStarters[name] as () => Promise<unknown> as () => Promise<System>,
): void {
  describe(`with a real ${name}`, () => {
    const system = provide(name, start);
    afterAll(() => system.current()?.[Symbol.asyncDispose]());
    tests(system.get);
  });
}

/** Groups tests that need a plain program, under the same policy as {@link describeWithSystem}. */
export function describeWithProgram(name: ProgramName, tests: (program: () => Program) => void): void {
  describe(`with the program ${name}`, () => {
    tests(provide(name, () => requireProgram(name)).get);
  });
}

/** Starts a system within a test, under the same policy as {@link describeWithSystem}. */
export async function startOrSkip<System>(start: () => Promise<System>, context: TestContext): Promise<System> {
  try {
    return await start();
  } catch (error) {
    if (error instanceof SystemUnavailableError && !systemsAreRequired()) context.skip(error.message);
    throw error;
  }
}

interface Provided<System> {
  /** The system; only while tests run. */
  readonly get: () => System;
  /** The system; undefined when it did not start. */
  readonly current: () => System | undefined;
}

function provide<System>(name: string, start: () => Promise<System>): Provided<System> {
  let system: System | undefined;
  let problem: unknown;
  beforeAll(async () => {
    try {
      system = await start();
    } catch (error) {
      problem = error;
    }
  });
  // Here and not in `beforeAll`, so that every test is counted as skipped or failed by itself.
  beforeEach((context) => {
    if (problem === undefined) return;
    if (problem instanceof SystemUnavailableError && !systemsAreRequired()) context.skip(problem.message);
    throw problem;
  });
  return {
    current: () => system,
    get: () => {
      if (system === undefined) throw new Error(`${name} runs only while tests of its group run`);
      return system;
    },
  };
}
