import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Logger } from "../logger.ts";
import type { Digest } from "../reference/grammar.ts";
import { readRegistries } from "../routing/registries.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { collectingLogger } from "../testing/serve.ts";
import { withdrawalName } from "./layout.ts";
import type { RecordDisk } from "./record-writer.ts";
import { Records } from "./records.ts";

const manifest: Digest = `sha256:${"a".repeat(64)}`;
const layer: Digest = `sha256:${"b".repeat(64)}`;
const facts = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  children: [{ digest: layer, bytes: 5, kind: "blob" }],
} as const;
const tag = { digest: manifest, mediaType: facts.mediaType, bytes: 9, checkedAtMs: 1, fetchedAtMs: 1 };

let directory: string;
let changes: string[];
let withdrawals: string[];
let openedIn: string[];
let log: string[];
let records: Records;
let image: UpstreamImage;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "mirror-records-"));
  const { upstreams } = readRegistries({ upstreams: { hub: { url: "https://registry.example" } } });
  const upstream = upstreams.get("hub");
  if (upstream === undefined) throw new Error("there is no upstream");
  image = { upstream, name: "org/app" };
  records = await open();
});

afterEach(async () => {
  await records.flush();
  await rm(directory, { recursive: true });
});

async function open(disk: Partial<RecordDisk> = {}): Promise<Records> {
  changes = [];
  withdrawals = [];
  openedIn = [];
  log = [];
  const logger: Logger = collectingLogger(log);
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  };
  const removeFolder = (name: string): Promise<void> => rm(join(directory, name), { recursive: true, force: true });
  return Records.open({
    directory,
    disk: {
      removeFile: (path) => rm(path, { force: true }),
      removeFolder,
      writeDurably: write,
      writeWhole: write,
      ...disk,
    },
    logger,
    now: () => 0,
    upstreams: [image.upstream],
    onOpening: (_place, era) => void openedIn.push(era),
    onChange: (name) => void changes.push(name),
    onWithdrawal: async (_place, era, isNew) => void withdrawals.push(isNew ? `new ${era}` : era),
  });
}

function learn(): void {
  const era = records.eraOf(image);
  records.setTag(image, "v1", { ...tag, openTo: "anybody", era });
  records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "mirror", era });
}

/** To whom the tag, the manifest and what it lists are open. */
function openings(): readonly unknown[] {
  const known = records.tag(image, "v1");
  return [
    known?.era === records.eraOf(image) ? known?.openTo : undefined,
    records.openingOf(image, manifest),
    records.openingOf(image, layer),
  ];
}

const nothing = [undefined, undefined, undefined];
const everything = ["anybody", "mirror", "mirror"];

describe("a withdrawal", () => {
  it("is one small file, however much is known of the name, and happens again only when something was open in between", async () => {
    learn();
    expect(openings()).toEqual(everything);
    changes = [];
    expect(records.withdraw(image)).toBe(true);
    expect(openings()).toEqual(nothing);
    expect(records.withdraw(image)).toBe(false);
    await records.remembered(image);
    expect(records.remembered(image)).toBeUndefined();
    expect([changes, withdrawals]).toEqual([[], [`new ${records.eraOf(image)}`]]);
    expect(await readFile(join(directory, withdrawalName(image)), "utf8")).toBe(records.eraOf(image));
    const era = records.eraOf(image);
    records.adopt(image, { tag: "v1" }, JSON.stringify({ ...tag, checkedAtMs: 2, openTo: "anybody", era }));
    expect(openings()).toEqual(["anybody", undefined, undefined]);
    expect(records.withdraw(image)).toBe(true);
    expect(openings()).toEqual(nothing);
  });

  it("holds for the next process, and ends for what is learnt after it", async () => {
    learn();
    records.withdraw(image);
    await records.flush();
    records = await open();
    expect(openings()).toEqual(nothing);
    learn();
    expect(openings()).toEqual(everything);
    await records.flush();
    records = await open();
    expect(openings()).toEqual(everything);
  });

  it("does not end for what is only passed on, or was asked for before it", async () => {
    learn();
    const asked = records.eraOf(image);
    const known = records.tag(image, "v1");
    records.withdraw(image);
    if (known !== undefined) records.setTag(image, "v1", { ...known, checkedAtMs: 5 });
    records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "mirror", era: asked });
    expect(openings()).toEqual(nothing);
    await records.flush();
    await rm(join(directory, withdrawalName(image)));
    records = await open();
    // Not even without the file, which somebody may remove.
    expect(openings()).toEqual(nothing);
  });

  it("holds also when the file about it is damaged", async () => {
    learn();
    records.withdraw(image);
    await records.flush();
    await writeFile(join(directory, withdrawalName(image)), "");
    records = await open();
    expect(openings()).toEqual(nothing);
    await records.flush();
    expect(await readFile(join(directory, withdrawalName(image)), "utf8")).toBe(records.eraOf(image));
  });

  it("does not touch other names, also those below it", () => {
    const below = { ...image, name: "org/app/tool" };
    learn();
    records.setTag(below, "v1", { ...tag, openTo: "anybody" });
    records.withdraw(image);
    expect(records.tag(below, "v1")?.openTo).toBe("anybody");
    expect(records.eraOf(below)).toBeUndefined();
  });

  it("changes nothing of a name that was never open to more than single clients", () => {
    records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "clients" });
    expect(records.withdraw(image)).toBe(false);
    expect(withdrawals).toEqual([]);
  });

  it("holds for what manifests listed that were open before", () => {
    records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "anybody" });
    records.setDigest(image, manifest, { bytes: 9, manifest: facts, openTo: "clients" });
    expect(records.withdraw(image)).toBe(true);
    expect(records.openingOf(image, layer)).toBeUndefined();
  });
});

describe("a withdrawal that cannot be written down", () => {
  const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });

  it("removes what is known of the name instead, also what is still to be written", async () => {
    const gate = Promise.withResolvers<void>();
    const isWriting = Promise.withResolvers<void>();
    const writeWhole = async (name: string, text: string): Promise<void> => {
      isWriting.resolve();
      await gate.promise;
      await mkdir(dirname(join(directory, name)), { recursive: true });
      await writeFile(join(directory, name), text);
    };
    records = await open({ writeWhole, writeDurably: () => Promise.reject(full) });
    learn();
    await isWriting.promise;
    records.withdraw(image);
    gate.resolve();
    await records.remembered(image);
    await records.flush();
    expect(log.filter((line) => line.startsWith("warn") && line.includes("was removed"))).toHaveLength(1);
    records = await open();
    expect([records.knows(image, manifest), ...openings()]).toEqual([false, ...nothing]);
  });

  it("tries again when there is room, and does not count before", async () => {
    let isFull = true;
    const writeDurably = async (name: string, text: string): Promise<void> => {
      if (isFull) throw full;
      await writeFile(join(directory, name), text);
    };
    records = await open({ writeDurably, removeFolder: () => Promise.reject(new Error("the disk is broken")) });
    learn();
    await records.flush();
    records.withdraw(image);
    await records.remembered(image);
    expect(openings()).toEqual(nothing);
    expect(log.filter((line) => line.startsWith("warn") && line.includes("until the mirror ends"))).toHaveLength(1);
    isFull = false;
    await records.flush();
    records = await open();
    expect(openings()).toEqual(nothing);
  });
});

describe("withdrawals that other mirrors have noticed", () => {
  it("are taken over when they are later than what is known here, and told of when they are not", async () => {
    learn();
    records.adoptEra(image, undefined);
    expect([openings(), withdrawals]).toEqual([everything, []]);
    records.adoptEra(image, "2026-11-22T01:00:00.000Z 00000001");
    expect(openings()).toEqual(nothing);
    learn();
    records.adoptEra(image, "2026-11-22T01:00:00.000Z 00000001");
    expect([openings(), withdrawals]).toEqual([everything, []]);
    records.adoptEra(image, "2026-11-22T00:59:59.999Z ffffffff");
    expect(openings()).toEqual(everything);
    records.adoptEra(image, undefined);
    expect(withdrawals).toEqual([records.eraOf(image), records.eraOf(image)]);
    await records.flush();
    records = await open();
    expect([records.eraOf(image), ...openings()]).toEqual(["2026-11-22T01:00:00.000Z 00000001", ...everything]);
  });

  it("leave alone what was learnt since, and let what others have learnt since take the place of what was learnt before", () => {
    const text = (openTo: string | undefined, era?: string): string =>
      JSON.stringify({ bytes: 9, manifest: facts, openTo, era });
    const tagText = (checkedAtMs: number, era?: string): string =>
      JSON.stringify({ ...tag, checkedAtMs, openTo: "anybody", era });
    learn();
    const era = "2026-11-22T01:00:00.000Z 00000001";
    records.adoptEra(image, era);
    expect([records.isOutdated(image, manifest), records.isOutdated(image, layer)]).toEqual([true, true]);
    records.adopt(image, { digest: manifest }, text("mirror"));
    expect(openings()).toEqual(nothing);
    records.adopt(image, { digest: manifest }, text("mirror", era));
    // Its clock may be behind.
    records.adopt(image, { tag: "v1" }, tagText(0, era));
    expect(openings()).toEqual(everything);
    expect([records.isOutdated(image, manifest), records.isOutdated(image, layer)]).toEqual([false, false]);
    records.adopt(image, { digest: manifest }, text("mirror"));
    records.adopt(image, { digest: manifest }, text(undefined));
    records.adopt(image, { tag: "v1" }, tagText(0));
    expect(openings()).toEqual(everything);
  });

  it("hear of what is open again, also after a restart", async () => {
    learn();
    expect(openedIn).toEqual([]);
    records.withdraw(image);
    const era = records.eraOf(image);
    records.adoptEra(image, era);
    expect(openedIn).toEqual([]);
    learn();
    expect(new Set(openedIn)).toEqual(new Set([era]));
    await records.flush();
    records = await open();
    records.adoptEra(image, era);
    expect(openedIn).toEqual([era]);
  });

  it("end what they were given in the same era, unless this mirror was let in meanwhile, or knows of a later one", () => {
    const theirs = "2026-11-22T01:00:00.000Z 00000001";
    records.adoptEra(image, theirs);
    records.adopt(image, { tag: "v1" }, JSON.stringify({ ...tag, openTo: "anybody", era: theirs }));
    records.withdrawUnseen(image, undefined);
    expect([records.eraOf(image), withdrawals]).toEqual([theirs, []]);
    records.withdrawUnseen(image, theirs);
    expect(openings()).toEqual(nothing);
    expect(withdrawals).toEqual([`new ${records.eraOf(image)}`]);
    learn();
    records.withdrawUnseen(image, records.eraOf(image));
    expect(openings()).toEqual(everything);
  });

  it("do not let count what was learnt after theirs and before this mirror's", () => {
    learn();
    records.withdraw(image);
    const theirs = "2026-11-22T01:00:00.000Z 00000001";
    records.overtake(image, theirs);
    records.setTag(image, "v1", { ...tag, openTo: "anybody", era: theirs });
    expect(openings()).toEqual(nothing);
    expect((records.eraOf(image) ?? "") > theirs).toBe(true);
    expect(withdrawals.at(-1)).toBe(`new ${records.eraOf(image)}`);
  });
});
