/** Date and time as FAT keeps them: local time, steps of two seconds, years from 1980 in seven bits. */
export interface DosTime {
  readonly date: number;
  readonly time: number;
}

/** In the process's time zone. A year before 1980 wraps, as in the reference; the extra field has the exact time. */
export function toDosTime(mtimeMs: number): DosTime {
  const local = new Date(Math.floor(mtimeMs));
  return {
    date: (local.getDate() + ((local.getMonth() + 1) << 5) + ((local.getFullYear() - 1980) << 9)) & 0xffff,
    time: (local.getHours() << 11) | (local.getMinutes() << 5) | (local.getSeconds() >> 1),
  };
}

/** Epoch milliseconds, with the time read as local. */
export function fromDosTime({ date, time }: DosTime): number {
  return new Date(
    1980 + (date >> 9),
    ((date >> 5) & 0xf) - 1,
    date & 0x1f,
    time >> 11,
    (time >> 5) & 0x3f,
    (time & 0x1f) * 2,
  ).getTime();
}
