/** Thrown by a participant that was told to stop; whoever told it knows the reason. */
export class JobAborted extends Error {
  override readonly name = "JobAborted";

  constructor() {
    super("the job was aborted");
  }
}
