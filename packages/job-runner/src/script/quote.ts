/** Quotes a text so that every POSIX shell reads it as one word of exactly these bytes. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
