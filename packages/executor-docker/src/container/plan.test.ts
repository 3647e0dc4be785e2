import { describe, expect, it } from "vitest";
import { SYSTEM_ID, TOKEN } from "../test-support/harness.ts";
import type { DockerSettings } from "../types.ts";
import { parseCpus, parseSize } from "./sizes.ts";
import { engineMounts } from "./mounts.ts";
import { jobNames } from "./names.ts";
import { isProtectedJob, planVolumes } from "./volumes.ts";
import type { JobVolumes } from "./volumes.ts";

const names = jobNames({
  runner: { token: { reveal: () => TOKEN }, shortToken: "AbCdEfGhI", systemId: SYSTEM_ID },
  projectId: 42,
  concurrentProjectId: 0,
  jobId: 5,
  random: "0123456789abcdef",
});

function plan(settings: DockerSettings, isProtected = false): JobVolumes {
  const lookup = (name: string): string | undefined => (name === "NAME" ? "expanded" : undefined);
  return planVolumes({ settings, names, project: "/builds/g/p", builds: "/builds", isProtected, lookup });
}

describe("names", () => {
  it("names containers and networks after runner, project and number", () => {
    expect(names).toMatchObject({
      host: "runner-abcdefghi-project-42-concurrent-0",
      job: "runner-abcdefghi-project-42-concurrent-0-0123456789abcdef",
      network: "runner-abcdefghi-42-0-5",
    });
  });
});

/** As the engine takes them. */
function binds(settings: DockerSettings, isProtected = false): readonly string[] {
  return engineMounts(plan(settings, isProtected).mounts).Binds ?? [];
}

describe("volumes", () => {
  it("JE 44: keeps a volume per runner, machine, project, number and path, apart for protected branches", () => {
    const kept = "runner-d6fe1938b14fd0fa1f7344eddfefea85-cache-3c3f060a0374fc8bc39395164f415a70";
    expect(binds({ volumes: ["/cache"] }, true)).toEqual([`${kept}-protected:/cache`]);
    expect(plan({ volumes: ["/cache"] }).named).toEqual([{ name: kept, destination: "/cache", reusable: true }]);
    expect(binds({ volumes: ["/builds"] })).toEqual([
      "runner-d6fe1938b14fd0fa1f7344eddfefea85-cache-c33bcaa1fd2c77edfc3893b41966cea8:/builds",
    ]);
  });

  it.each([
    ["/host:/data", "/host:/data"],
    ["/host:/data:ro", "/host:/data:ro"],
    ["/host:/data:ro,z", "/host:/data:ro,z"],
    ["named:/data", "named:/data"],
    ["/host:/data/$NAME", "/host:/data/expanded"],
    ["/$NAME:relative", "/$NAME:/builds/g/p/relative"],
  ])("mounts %s as %s", (text, bind) => {
    expect(binds({ volumes: [text] })).toEqual([bind]);
  });

  it("makes a volume of this job only when nothing may be kept", () => {
    const settings = { volumes: ["/cache:ro"], disableCache: true };
    expect(plan(settings).named).toEqual([
      { name: `${names.job}-cache-3c3f060a0374fc8bc39395164f415a70`, destination: "/cache", reusable: false },
    ]);
    expect(binds(settings)[0]).toMatch(/:\/cache:ro$/);
  });

  it("keeps volumes in a directory of the engine's host when there is one", () => {
    expect(binds({ volumes: ["/cache"], cacheDirectory: "/srv/kept" }, true)).toEqual([
      `/srv/kept/${names.kept}/3c3f060a0374fc8bc39395164f415a70-protected:/cache`,
    ]);
  });

  it("go in the engine's newer form where a path has a colon, if their options let them", () => {
    const source = "/srv";
    expect(
      engineMounts([
        { source, destination: "/a:b", options: "ro" },
        { source: "named", destination: "/c:d" },
      ]),
    ).toEqual({
      Binds: [],
      Mounts: [
        { Type: "bind", Source: source, Target: "/a:b", ReadOnly: true },
        { Type: "volume", Source: "named", Target: "/c:d", ReadOnly: false },
      ],
    });
    expect(() => engineMounts([{ source, destination: "/a:b", options: "z" }])).toThrow(/the option z cannot be used/);
  });

  it("opens for everybody what has no source of its own, unless it is only to be read", () => {
    const volumes = ["/cache", "/seen:ro", "/host:/data", "named:/kept"];
    expect(plan({ volumes }).toOpen).toEqual(["/cache"]);
    expect(plan({ volumes, cacheDirectory: "/srv/kept" }).toOpen).toEqual(["/cache"]);
  });

  it("refuses a volume in place of everything, one that is there twice, and one with too many parts", () => {
    expect(() => plan({ volumes: ["/host:/"] })).toThrow(/whole file system/);
    expect(() => plan({ volumes: ["/a:/x", "/b:/x"] })).toThrow(/there twice/);
    expect(() => plan({ volumes: ["/a:/b:/c:/d"] })).toThrow(/too many parts/);
  });

  it("takes a job for protected by what the coordinator says, its variable, or the key of a cache", () => {
    const job = (isProtected: boolean | null, ...keys: string[]): Parameters<typeof isProtectedJob>[0] => ({
      git_info: { protected: isProtected },
      cache: keys.map((key) => ({ key })),
    });
    const variable = (): string => "true";
    const none = (): undefined => undefined;
    expect(isProtectedJob(job(true), none)).toBe(true);
    expect(isProtectedJob(job(null), variable)).toBe(true);
    expect(isProtectedJob(job(false), variable)).toBe(false);
    expect(isProtectedJob(job(false, "main-protected"), none)).toBe(true);
    expect(isProtectedJob(job(false, "main-non_protected"), none)).toBe(false);
  });
});

describe("sizes", () => {
  it.each([
    ["128m", 134_217_728],
    ["1g", 1_073_741_824],
    ["512", 512],
    ["1.5K", 1536],
    ["64MiB", 67_108_864],
    ["-1", -1],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize("memory", text)).toBe(bytes);
  });

  it("names the key of a size or number that is none", () => {
    expect(() => parseSize("memory", "lots")).toThrow(/memory: "lots" is no size/);
    expect(() => parseCpus("cpus", "1/0")).toThrow(/cpus: "1\/0" is no number/);
    expect(parseCpus("cpus", "1/2")).toBe(500_000_000);
    expect(parseCpus("cpus", "1.5")).toBe(1_500_000_000);
  });
});
