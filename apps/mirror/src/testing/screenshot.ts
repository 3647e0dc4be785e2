// Takes the picture of the status page that the documents show. Argument: the file. Default: docs/mirror-status-page.png
import { fileURLToPath } from "node:url";
import { requireProgram } from "@fleetfoot-tooling/systems";
import { chromium } from "playwright-core";
import { startBusyMirror } from "./busy-mirror.ts";

const [, , file = fileURLToPath(new URL("../../../../docs/mirror-status-page.png", import.meta.url))] = process.argv;
const { path } = await requireProgram("chromium", "the picture of the status page");
const busy = await startBusyMirror();
const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1000, height: 560 } });
await page.goto(busy.mirror.operatorsUrl);
await page.screenshot({ path: file });
await browser.close();
await busy[Symbol.asyncDispose]();
process.stdout.write(`${file}\n`);
