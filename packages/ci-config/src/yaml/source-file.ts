/** The text of one configuration file; lines are computed when a problem or a job asks for one. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Line of a character offset, from 1. */
  lineAt(offset: number): number;
}

export function createSourceFile(path: string, text: string): SourceFile {
  let starts: number[] | undefined;
  return {
    path,
    text,
    lineAt(offset) {
      starts ??= lineStarts(text);
      let low = 0;
      let high = starts.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if ((starts[middle] ?? 0) <= offset) low = middle;
        else high = middle - 1;
      }
      return low + 1;
    },
  };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}
