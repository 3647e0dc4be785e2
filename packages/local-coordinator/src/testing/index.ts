export type { CallKind } from "../http/route.ts";
export type { AnswerFault, Fault, FaultRule, RandomFault } from "./fault.ts";
export type { FaultSwitches, RandomFaults } from "./faults.ts";
export { hostileFaults } from "./hostile-faults.ts";
export { createReferenceCalls, sendByHttp, sendToHandler } from "./reference-calls.ts";
export type {
  JobAccess,
  ReferenceCalls,
  ReferenceCallsOptions,
  ReferenceUpload,
  SendRequest,
  WireAnswer,
  WireRequest,
} from "./reference-calls.ts";
export type { ReferenceGeneration } from "./reference-forms.ts";
export type { RequestRecord } from "./request-record.ts";
export { createTestCoordinator, startTestCoordinator, truncateStoredTrace } from "./test-coordinator.ts";
export type { TestCoordinator, TestCoordinatorOptions } from "./test-coordinator.ts";
