import { describe, expect, it } from "vitest";

import { portableNoProxy } from "./portable-no-proxy.ts";

describe("portableNoProxy", () => {
  it("PE A21: writes every form that some program understands", () => {
    const { value, entries } = portableNoProxy(["corp.example", "docker:2375", "10.0.0.0/30", "2001:db8::1"]);
    expect(value).toContain("corp.example,.corp.example");
    expect(value).toContain("docker:2375,docker");
    expect(value).toContain("10.0.0.0/30,10.0.0.0,10.0.0.1,10.0.0.2,10.0.0.3");
    expect(value).toContain("2001:db8::1,[2001:db8::1]");
    expect(value).not.toMatch(/\s/);
    expect(entries).toEqual([...new Set(value.split(","))]);
  });

  it.each([[[]], [["corp.example"]], [["localhost", "169.254.169.254"]]])(
    "PE A22: has what every job needs beside %j",
    (items: readonly string[]) => {
      const { entries } = portableNoProxy(items);
      expect(entries).toEqual(
        expect.arrayContaining(["169.254.169.254", "169.254.170.2", "metadata.google.internal", "localhost"]),
      );
      expect(new Set(entries).size).toBe(entries.length);
    },
  );

  it("lists the Docker service of a job in three forms", () => {
    expect(portableNoProxy([], { dockerService: true }).entries).toEqual(
      expect.arrayContaining(["docker", "docker:2375", "docker:2376"]),
    );
    expect(portableNoProxy([]).entries).not.toContain("docker");
  });

  it("does not widen a port to a name when it may not", () => {
    const { entries } = portableNoProxy(["docker:2375", "10.1.2.3:80", "*.a.test:1"], { namesForPorts: false });
    expect(entries.slice(portableNoProxy([]).entries.length)).toEqual([
      "docker:2375",
      "10.1.2.3:80",
      ".a.test:1",
      "*.a.test:1",
    ]);
  });

  it("writes * alone", () => {
    expect(portableNoProxy(["a.test", " * "]).value).toBe("*");
  });

  it.each(["*.corp.example", ".corp.example"])("warns that %s covers more for some programs", (item) => {
    const { value, warnings } = portableNoProxy([item]);
    expect(value).toContain(".corp.example,*.corp.example");
    expect(warnings).toEqual([expect.stringContaining("sub-domains only")]);
  });

  it("warns about a range that is too long to list", () => {
    const { entries, warnings } = portableNoProxy(["10.0.0.0/8", "10.1.0.0/28"]);
    expect(entries).toContain("10.0.0.0/8");
    expect(entries.filter((entry) => entry.startsWith("10.1.0."))).toHaveLength(17);
    expect(warnings).toEqual([expect.stringContaining("10.0.0.0/8")]);
  });

  it("lists a short IPv6 range with and without brackets, and masks host bits off", () => {
    expect(portableNoProxy(["2001:db8::fe/127"]).value).toMatch(
      /2001:db8::fe\/127,2001:db8::fe,\[2001:db8::fe\],2001:db8::ff,\[2001:db8::ff\]$/,
    );
    expect(portableNoProxy(["10.0.0.7/31"]).value).toMatch(/10\.0\.0\.7\/31,10\.0\.0\.6,10\.0\.0\.7$/);
  });

  it("leaves out what cannot be written without a space, and says so", () => {
    const { value, warnings } = portableNoProxy(["a.test b.test", "c.test,d.test"]);
    expect(value).toContain("c.test,.c.test,d.test,.d.test");
    expect(value).not.toContain("a.test");
    expect(warnings).toHaveLength(1);
  });
});
