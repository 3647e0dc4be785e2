import { PassThrough, Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { bodyFromAnswer, readBody } from "./answer-body.ts";

const call = { store: "test", operation: "get", object: "key" };
const noSignal = new AbortController().signal;

function answerOf(...chunks: readonly string[]): Readable {
  return Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );
}

describe("the body of an answer", () => {
  it("is read in order, and not on while a chunk is being taken", async () => {
    const answer = answerOf("one", "two", "three");
    const steps: string[] = [];
    await readBody(
      bodyFromAnswer(answer, 11, call),
      async (chunk) => {
        const text = Buffer.from(chunk).toString();
        steps.push(`${text} begins`);
        await new Promise(setImmediate);
        steps.push(`${text} ends`);
      },
      noSignal,
    );
    expect(steps).toEqual(["one begins", "one ends", "two begins", "two ends", "three begins", "three ends"]);
    expect(answer.destroyed).toBe(true);
  });

  it("fails when less comes than was announced", async () => {
    const reading = readBody(bodyFromAnswer(answerOf("one"), 4, call), () => undefined, noSignal);
    await expect(reading).rejects.toMatchObject({ code: "truncated", message: expect.stringContaining("only 3 of 4") });
  });

  it.each([
    { how: "with an error", end: (answer: PassThrough) => answer.destroy(new Error("reset")) },
    { how: "without a word", end: (answer: PassThrough) => answer.destroy() },
  ])("fails when it breaks off $how", async ({ end }) => {
    const answer = new PassThrough();
    const body = bodyFromAnswer(answer, 10, call);
    answer.write("abc");
    const reading = readBody(body, () => void end(answer), noSignal);
    await expect(reading).rejects.toMatchObject({ code: "truncated", message: expect.stringContaining("3 of 10") });
  });

  it("is given up when a chunk cannot be taken", async () => {
    const answer = answerOf("one", "two");
    const full = new Error("full");
    const reading = readBody(
      bodyFromAnswer(answer, 6, call),
      () => {
        throw full;
      },
      noSignal,
    );
    await expect(reading).rejects.toBe(full);
    expect(answer.destroyed).toBe(true);
  });

  it("is given up at an abort, when the chunk that is being taken has its end", async () => {
    const abort = new AbortController();
    const answer = new PassThrough();
    const steps: string[] = [];
    answer.write("one");
    const reading = readBody(
      bodyFromAnswer(answer, 6, call),
      async () => {
        abort.abort(new Error("stop"));
        await new Promise(setImmediate);
        steps.push("taken");
      },
      abort.signal,
    ).catch((error: unknown) => steps.push(String(error)));
    await reading;
    expect(steps).toEqual(["taken", "Error: stop"]);
    expect(answer.destroyed).toBe(true);
  });

  it("rejects with the reason of the signal that it was opened under", async () => {
    const abort = new AbortController();
    const answer = new PassThrough();
    answer.write("one");
    const body = bodyFromAnswer(answer, 6, call, abort.signal);
    const reading = readBody(
      body,
      () => {
        abort.abort(new Error("stop"));
        return undefined;
      },
      noSignal,
    );
    await expect(reading).rejects.toThrow("stop");
  });

  it("can be read as a stream, too, and to nobody else then", async () => {
    const body = bodyFromAnswer(answerOf("one"), 3, call);
    expect(await new Response(body).text()).toBe("one");
    await expect(readBody(body, () => undefined, noSignal)).rejects.toThrow(/locked|released/);
  });

  it("ends at once when the answer was given up before", async () => {
    const answer = answerOf("one");
    const body = bodyFromAnswer(answer, 3, call);
    answer.destroy();
    await finished(answer).catch(() => {});
    await expect(readBody(body, () => undefined, noSignal)).rejects.toMatchObject({ code: "truncated" });
  });
});
