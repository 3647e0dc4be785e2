/**
 * Writes text so that it survives as the value of an HTTP header: as it is where that is safe, otherwise as an encoded word
 * of RFC 2047, which is how S3 itself hands such metadata back.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
 */
export function encodeHeaderText(text: string): string {
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !/ {2}|=\?/.test(text)) return text;
  return `=?UTF-8?B?${Buffer.from(text).toString("base64")}?=`;
}

/**
 * Reads what {@link encodeHeaderText} or a service wrote: encoded words, or the bytes of UTF-8 as HTTP libraries hand them
 * out, one character each. What is neither stays as it is.
 */
export function decodeHeaderText(text: string): string {
  if (/=\?[\w-]+\?[bq]\?/i.test(text)) {
    return text
      .replaceAll(/\?=\s+=\?/g, "?==?")
      .replaceAll(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_, kind: string, content: string) =>
        kind.toLowerCase() === "b" ? Buffer.from(content, "base64").toString() : decodeQuoted(content),
      );
  }
  const bytes = Buffer.from(text, "latin1");
  const isBytes = bytes.toString("latin1") === text;
  return isBytes && Buffer.from(bytes.toString()).equals(bytes) ? bytes.toString() : text;
}

function decodeQuoted(content: string): string {
  const bytes = content
    .replaceAll("_", " ")
    .replaceAll(/=([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return Buffer.from(bytes, "latin1").toString();
}
