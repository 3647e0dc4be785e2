import type { Secret } from "./secret.ts";

/**
 * Makes text from elsewhere fit for one log line: tokens replaced, control characters too, length bounded.
 *
 * @param secrets - tokens of the request, which a server may have echoed
 */
export function printable(text: string, secrets: readonly Secret[] = []): string {
  let result = text;
  for (const secret of secrets) {
    if (secret.reveal() !== "") {
      result = result.replaceAll(secret.reveal(), secret.toString());
    }
  }
  // eslint-disable-next-line no-control-regex -- control characters are what this removes
  result = result.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
  return result.length > MAX_TEXT_LENGTH ? `${result.slice(0, MAX_TEXT_LENGTH)}…` : result;
}

const MAX_TEXT_LENGTH = 1000;
