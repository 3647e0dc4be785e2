import { describe, expect, it } from "vitest";

import { findFilePart } from "./multipart.ts";

const type = "multipart/form-data; boundary=xyz";

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(
  text: string,
  size: number,
  contentType = type,
): Promise<{ fileName: string; content: string } | undefined> {
  const part = await findFilePart(inPieces(text, size), contentType, "file");
  if (part === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of part.content) chunks.push(chunk);
  return { fileName: part.fileName, content: Buffer.concat(chunks).toString() };
}

function form(...parts: readonly string[]): string {
  return `${parts.map((part) => `--xyz\r\n${part}\r\n`).join("")}--xyz--\r\n`;
}

const file = (content: string): string =>
  `Content-Disposition: form-data; name="file"; filename="a.zip"\r\nContent-Type: application/octet-stream\r\n\r\n${content}`;
const field = 'Content-Disposition: form-data; name="other"\r\n\r\nvalue';

describe("forms", () => {
  it.each([1, 2, 3, 7, 64, 100_000])("are read in pieces of %i bytes", async (size) => {
    for (const content of [
      "",
      "hello",
      "almost\r\n--xy",
      "\r\n--xyz-not at the line's end".replace("--xyz-", "-xyz-"),
      "\r\n\r\n--",
    ]) {
      expect(await read(form(field, file(content), field), size)).toEqual({ fileName: "a.zip", content });
    }
  });

  it("may have a preamble, an epilogue and a quoted boundary", async () => {
    const text = `preamble\r\n${form(file("x"))}epilogue`;
    expect((await read(text, 5, 'multipart/form-data; charset=utf-8; boundary="xyz"'))?.content).toBe("x");
  });

  it("without a file in the field have nothing", async () => {
    expect(await read(form(field), 10)).toBeUndefined();
    expect(await read(form(file("x").replace('"file"', '"document"')), 10)).toBeUndefined();
  });

  it.each([
    ["before the first part", "no form at all"],
    ["inside the content", form(file("hello")).slice(0, -20)],
    ["before the closing delimiter's end", form(file("hello")).slice(0, -4)],
    ["in a header", "--xyz\r\nContent-Disposition: form-data"],
    ["in a later part", form(file("hello"), field).slice(0, -12)],
  ])("that end %s are refused", async (_, text) => {
    await expect(read(text, 8)).rejects.toThrow(/form ends|too long/);
  });

  it.each(["text/plain", "multipart/form-data", `multipart/form-data; boundary=${"x".repeat(300)}`])(
    "are refused with the type %s",
    async (contentType) => {
      await expect(read(form(file("x")), 10, contentType)).rejects.toThrow("no usable boundary");
    },
  );

  it("with a header of endless length are refused", async () => {
    await expect(read(`--xyz\r\nX: ${"y".repeat(100_000)}`, 4096)).rejects.toThrow("too long in a header");
  });
});
