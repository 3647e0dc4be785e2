import { expect, it } from "vitest";
import { proxyFinding } from "./proxy-finding.ts";

it("RM K2: doctor says where an engine with the mirror as its HTTP proxy looks for the authority of Docker Hub", () => {
  const url = "http://10.1.2.3:6000";
  const text = proxyFinding("http://robot:xxxxx@10.1.2.3:6000", url) ?? "";
  for (const part of ["x509: certificate signed by unknown authority", "system's store", "restarted"]) {
    expect(text).toContain(part);
  }
  expect(text).not.toContain("robot");
  for (const other of [undefined, "", "http://10.1.2.4:6000", "10.1.2.3:6000"]) {
    expect(proxyFinding(other, url)).toBeUndefined();
  }
});
