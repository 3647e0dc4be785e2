/** Names to values, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable that this package reads, in lower case; each exists in upper case as well. */
export type ProxyVariable = "http_proxy" | "https_proxy" | "all_proxy" | "no_proxy";

/** Something about a variable that its owner should know. */
export interface ProxyWarning {
  /** Name of the variable, in the case that was read. */
  readonly variable: string;
  /** Stable name of what it is about, for programs. */
  readonly code: "cases-differ" | "ignored-for-cgi" | "path-dropped" | "space-in-entry";
  /** One sentence without any part of a value. */
  readonly message: string;
}

/** The value that counts, and the name that it was found under. */
export function readVariable(
  environment: Environment,
  name: ProxyVariable,
  warnings: ProxyWarning[],
): { readonly name: string; readonly value: string } | undefined {
  const upperName = name.toUpperCase();
  const lower = nonEmpty(environment[name]);
  let upper = nonEmpty(environment[upperName]);
  if (name === "http_proxy" && upper !== undefined && nonEmpty(environment["REQUEST_METHOD"]) !== undefined) {
    // A CGI server makes HTTP_PROXY out of a request's header "Proxy", which any client can send.
    const message = `${upperName} is ignored, because REQUEST_METHOD is set, as for a CGI program; use ${name}.`;
    warnings.push({ variable: upperName, code: "ignored-for-cgi", message });
    upper = undefined;
  }
  if (lower !== undefined && upper !== undefined && lower.trim() !== upper.trim()) {
    const message = `${name} and ${upperName} differ; ${name} is used.`;
    warnings.push({ variable: name, code: "cases-differ", message });
  }
  if (lower !== undefined) return { name, value: lower };
  return upper === undefined ? undefined : { name: upperName, value: upper };
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || /^[\t\n\f\r ]*$/.test(value) ? undefined : value;
}
