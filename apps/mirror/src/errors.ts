/** Something that the user can mend: a wrong option, a missing file, a taken port. Printed without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
