import { describeWithProgram } from "@fleetfoot-tooling/systems/vitest";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startBusyMirror } from "../testing/busy-mirror.ts";
import type { BusyMirror } from "../testing/busy-mirror.ts";

describeWithProgram("chromium", (program) => {
  let busy: BusyMirror;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    busy = await startBusyMirror();
    browser = await chromium.launch({ executablePath: program().path, args: ["--no-sandbox"] });
    page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
    page.on("console", (message) => problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(busy.mirror.operatorsUrl)) problems.push(`asks for ${request.url()}`);
    });
    await page.goto(busy.mirror.operatorsUrl);
  }, 60_000);

  afterAll(async () => {
    await browser.close();
    await busy[Symbol.asyncDispose]();
  });

  it("shows what is cached, the hit rate, the upstream's limits and what is being fetched", async () => {
    expect(await page.title()).toBe("Registry mirror");
    const figures = await page
      .locator("dl div")
      .evaluateAll((boxes) =>
        Object.fromEntries(
          boxes.map((box) => [box.querySelector("dt")?.textContent, box.querySelector("dd")?.textContent]),
        ),
      );
    // One blob from the upstream and three times from the disk; another one of which two readers joined the first.
    expect(figures).toMatchObject({ "Hit rate": "71.4 %", Requests: "7", Stored: "5.0 MB of 1.0 GB", Blobs: "1" });
    const rows = await page.locator("tbody tr").allInnerTexts();
    expect(rows[0]).toMatch(/^hub\s+http:\/\/127\.0\.0\.1:\d+\s+up\s+76 of 100$/);
    expect(rows[1]).toMatch(new RegExp(`^${busy.fetching}\\s+\\S+ MB of 80\\.0 MB\\s+3$`));
    expect(await page.locator("td.up").isVisible()).toBe(true);
  });

  it("needs no script, and nothing from elsewhere", async () => {
    expect(await page.locator("script").count()).toBe(0);
    expect(problems).toEqual([]);
    const withoutScripts = await browser.newPage({ javaScriptEnabled: false });
    await withoutScripts.goto(busy.mirror.operatorsUrl);
    expect(await withoutScripts.getByText("Hit rate").isVisible()).toBe(true);
    await withoutScripts.close();
  });

  it("fits a narrow window, and tells its parts to those who do not see them", async () => {
    await page.setViewportSize({ width: 380, height: 700 });
    const overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    expect(overflow).toBe(0);
    const headings = await page.getByRole("heading").allInnerTexts();
    expect(headings).toEqual(["Registry mirror", "Upstreams", "Fills"]);
    expect(await page.getByRole("columnheader").allInnerTexts()).toContain("Pulls left");
  });

  it("renews itself", async () => {
    await page.goto(busy.mirror.operatorsUrl);
    await page.waitForEvent("framenavigated");
    expect(await page.title()).toBe("Registry mirror");
  });
});
