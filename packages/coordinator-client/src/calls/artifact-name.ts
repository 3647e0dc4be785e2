const ENDINGS: Readonly<Record<string, string>> = {
  "": ".zip",
  zip: ".zip",
  zipzstd: ".zip",
  gzip: ".gz",
  tarzstd: ".tar.zst",
  raw: "",
};

/**
 * The file name under which a set of artifacts is uploaded: the last part of the configured name, `artifacts` when none
 * was configured, with the ending of the format.
 *
 * @param name - as in the job, with variables already replaced; undefined when the job names none
 * @param format - as in the job; empty means `zip`
 * @see coordinator-protocol 9.1
 */
export function artifactFileName(name: string | undefined, format: string): string {
  const configured = name === undefined || name === "" ? "artifacts" : name;
  const base = configured.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return `${base === "" || base === "." ? "default" : base}${ENDINGS[format] ?? ""}`;
}
