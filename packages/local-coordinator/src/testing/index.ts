export type { CallKind } from "../http/route.ts";
export type { Fault, FaultRule, FaultSwitches, RandomFaults } from "./faults.ts";
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
export type { RequestRecord } from "./request-record.ts";
export { createTestCoordinator, startTestCoordinator, truncateStoredTrace } from "./test-coordinator.ts";
export type { TestCoordinator, TestCoordinatorOptions } from "./test-coordinator.ts";
