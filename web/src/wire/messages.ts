// The messages of the protocol that the page sends and reads, and the methods.
// Names and numbers are those of proto/auditgate/v1/audit_service.proto.

import { many, map, message, messages, one, optional, table, type MessageOf, type Table } from "./codec";

export const Timestamp = table("google.protobuf.Timestamp", {
  seconds: one(1, "int64"),
  nanos: one(2, "int32"),
});
export type Timestamp = MessageOf<typeof Timestamp>;

export const Duration = table("google.protobuf.Duration", {
  seconds: one(1, "int64"),
  nanos: one(2, "int32"),
});

export const Filter = table("auditgate.v1.Filter", {
  types: many(1, "string"),
  exclude_types: many(2, "string"),
  categories: many(3, "enum"),
  min_severity: one(4, "enum"),
  results: many(5, "enum"),
  codes: many(6, "string"),
  users: many(7, "string"),
  session_ids: many(8, "string"),
  server_ids: many(9, "string"),
  cluster_names: many(10, "string"),
  sources: many(11, "string"),
  remote_addresses: many(12, "string"),
  labels: map(13, "string"),
  text: one(14, "string"),
  expression: one(15, "string"),
});
export type Filter = MessageOf<typeof Filter>;

export const Gap = table("auditgate.v1.Gap", {
  first_sequence: one(1, "uint64"),
  last_sequence: one(2, "uint64"),
  reason: one(3, "enum"),
});
export type Gap = MessageOf<typeof Gap>;

const SubscribeRequest = table("auditgate.v1.SubscribeRequest", {
  filter: message(1, Filter),
  position: optional(2, "enum"),
  since: message(3, Timestamp),
  cursor: optional(4, "string"),
});

// Records stay bytes: rows are read from them by field number, and proofs need them whole.
const SubscribeResponse = table("auditgate.v1.SubscribeResponse", {
  records: many(1, "bytes"),
  gap: message(2, Gap),
  caught_up: one(3, "bool"),
  cursor: one(4, "string"),
});
export type SubscribeResponse = MessageOf<typeof SubscribeResponse>;

const SearchRequest = table("auditgate.v1.SearchRequest", {
  filter: message(1, Filter),
  start_time: message(2, Timestamp),
  end_time: message(3, Timestamp),
  order: one(4, "enum"),
  page_size: one(5, "int32"),
  page_token: one(6, "string"),
  first_sequence: one(7, "uint64"),
  last_sequence: one(8, "uint64"),
});
export type SearchRequest = MessageOf<typeof SearchRequest>;

const SearchResponse = table("auditgate.v1.SearchResponse", {
  records: many(1, "bytes"),
  next_page_token: one(2, "string"),
  cursor: one(3, "string"),
  gaps: messages(4, Gap),
  examined: one(5, "uint64"),
  expression_errors: one(6, "uint64"),
});
export type SearchResponse = MessageOf<typeof SearchResponse>;

const GetRecordRequest = table("auditgate.v1.GetRecordRequest", {
  id: optional(1, "string"),
  sequence: optional(2, "uint64"),
});

const GetRecordResponse = table("auditgate.v1.GetRecordResponse", {
  record: optional(1, "bytes"),
});

const CountRecordsRequest = table("auditgate.v1.CountRecordsRequest", {
  filter: message(1, Filter),
  start_time: message(2, Timestamp),
  end_time: message(3, Timestamp),
  bucket: message(4, Duration),
  group_by: one(5, "enum"),
});

const CountBucket = table("auditgate.v1.CountBucket", {
  start_time: message(1, Timestamp),
  counts: map(2, "int64"),
});

const CountRecordsResponse = table("auditgate.v1.CountRecordsResponse", {
  buckets: messages(1, CountBucket),
  expression_errors: one(2, "uint64"),
  gaps: messages(3, Gap),
});

const CheckFilterRequest = table("auditgate.v1.CheckFilterRequest", {
  filter: message(1, Filter),
});

const FilterProblem = table("auditgate.v1.FilterProblem", {
  field: one(1, "string"),
  line: one(2, "uint32"),
  column: one(3, "uint32"),
  length: one(4, "uint32"),
  message: one(5, "string"),
  nearest: many(6, "string"),
});
export type FilterProblem = MessageOf<typeof FilterProblem>;

const CheckFilterResponse = table("auditgate.v1.CheckFilterResponse", {
  problems: messages(1, FilterProblem),
});

const TopValuesRequest = table("auditgate.v1.TopValuesRequest", {
  filter: message(1, Filter),
  start_time: message(2, Timestamp),
  end_time: message(3, Timestamp),
  fields: many(4, "string"),
  limit: one(5, "int32"),
  prefix: one(6, "string"),
});

const ValueCount = table("auditgate.v1.ValueCount", {
  value: one(1, "string"),
  count: one(2, "uint64"),
  cut: one(3, "bool"),
});

const FieldValues = table("auditgate.v1.FieldValues", {
  field: one(1, "string"),
  values: messages(2, ValueCount),
  absent: one(3, "uint64"),
  others: one(4, "uint64"),
});
export type FieldValues = MessageOf<typeof FieldValues>;

const TopValuesResponse = table("auditgate.v1.TopValuesResponse", {
  fields: messages(1, FieldValues),
  examined: one(2, "uint64"),
  partial: one(3, "bool"),
  expression_errors: one(4, "uint64"),
  gaps: messages(5, Gap),
});
export type TopValuesResponse = MessageOf<typeof TopValuesResponse>;

const GetCallerResponse = table("auditgate.v1.GetCallerResponse", {
  principal: one(1, "string"),
  authenticated: one(2, "bool"),
  readable_types: many(3, "string"),
  emittable_types: many(4, "string"),
  rights: many(5, "string"),
  expire_time: message(6, Timestamp),
});
export type Caller = MessageOf<typeof GetCallerResponse>;

const EventCode = table("auditgate.v1.EventCode", {
  code: one(1, "string"),
  result: one(2, "enum"),
  severity: one(3, "enum"),
  description: one(4, "string"),
});

const EventType = table("auditgate.v1.EventType", {
  type: one(1, "string"),
  field_name: one(2, "string"),
  category: one(3, "enum"),
  severity: one(4, "enum"),
  description: one(5, "string"),
  codes: messages(6, EventCode),
});
export type EventType = MessageOf<typeof EventType>;

const ListEventTypesResponse = table("auditgate.v1.ListEventTypesResponse", {
  event_types: messages(1, EventType),
});

const Counters = table("auditgate.v1.Counters", {
  accepted: one(1, "uint64"),
  duplicates: one(2, "uint64"),
  refused: one(3, "uint64"),
  evicted: one(4, "uint64"),
  delivered: one(5, "uint64"),
  gaps: one(6, "uint64"),
});

const Rates = table("auditgate.v1.Rates", {
  accepted_per_second: one(1, "double"),
  delivered_per_second: one(2, "double"),
});

const Subscriber = table("auditgate.v1.Subscriber", {
  peer: one(1, "string"),
  principal: one(2, "string"),
  filter: message(3, Filter),
  sequence: one(4, "uint64"),
  lag: one(5, "uint64"),
  delivered: one(6, "uint64"),
  expression_errors: one(7, "uint64"),
  start_time: message(8, Timestamp),
  filter_shortened: one(9, "bool"),
});
export type Subscriber = MessageOf<typeof Subscriber>;

const SequenceRange = table("auditgate.v1.SequenceRange", {
  first_sequence: one(1, "uint64"),
  last_sequence: one(2, "uint64"),
});

const DiskStatus = table("auditgate.v1.DiskStatus", {
  sync: one(1, "string"),
  synced_sequence: one(2, "uint64"),
  byte_size: one(3, "uint64"),
  state: one(4, "enum"),
  reason: one(5, "string"),
  damaged: messages(6, SequenceRange),
  removed_until: message(7, Timestamp),
  byte_limit: one(8, "uint64"),
});

const ProofStatus = table("auditgate.v1.ProofStatus", {
  key_name: one(1, "string"),
  tree_size: one(2, "uint64"),
  checkpoint_size: one(3, "uint64"),
  checkpoint_time: message(4, Timestamp),
  trouble: one(5, "string"),
});

const RetentionHold = table("auditgate.v1.RetentionHold", {
  name: one(1, "string"),
  sequence: one(2, "uint64"),
  record_limit: one(3, "uint64"),
});

const MemoryHolding = table("auditgate.v1.MemoryHolding", {
  connection_bytes: one(1, "uint64"),
  call_bytes: one(2, "uint64"),
  receiving_bytes: one(3, "uint64"),
  filter_bytes: one(4, "uint64"),
  room_bytes: one(5, "uint64"),
  read_bytes: one(6, "uint64"),
});
export type MemoryHolding = MessageOf<typeof MemoryHolding>;

const MemoryAccount = table("auditgate.v1.MemoryAccount", {
  client: one(1, "string"),
  holding: message(2, MemoryHolding),
});

const Delivery = table("auditgate.v1.Delivery", {
  name: one(1, "string"),
  format: one(2, "string"),
  destination: one(3, "string"),
  state: one(4, "enum"),
  reason: one(5, "string"),
  state_time: message(6, Timestamp),
  lag_records: one(8, "uint64"),
  lag: message(9, Duration),
  last_success_time: message(10, Timestamp),
  delivered: one(11, "uint64"),
  retries: one(14, "uint64"),
  missed: one(18, "uint64"),
  dead_letters: one(19, "uint64"),
});
export type Delivery = MessageOf<typeof Delivery>;

const SharedLogStatus = table("auditgate.v1.SharedLogStatus", {
  stream: one(1, "string"),
  server: one(2, "string"),
  replicas: one(3, "uint32"),
  position: one(4, "uint64"),
  stream_end: one(5, "uint64"),
  lag: one(6, "uint64"),
  in_flight: one(7, "uint64"),
  pending: one(8, "uint64"),
  repeats: one(9, "uint64"),
  seen: one(10, "uint64"),
  void: one(11, "uint64"),
  stale: one(12, "uint64"),
  invalid: one(13, "uint64"),
  disagreements: one(14, "uint64"),
  disagreement: one(15, "string"),
  warnings: many(16, "string"),
});
export type SharedLog = MessageOf<typeof SharedLogStatus>;

const GetStatusResponse = table("auditgate.v1.GetStatusResponse", {
  version: one(1, "string"),
  start_time: message(2, Timestamp),
  log_id: one(3, "string"),
  log_kind: one(4, "string"),
  first_sequence: one(5, "uint64"),
  last_sequence: one(6, "uint64"),
  record_count: one(7, "uint64"),
  byte_size: one(8, "uint64"),
  subscribers: messages(9, Subscriber),
  uptime: message(10, Duration),
  record_limit: one(11, "uint64"),
  byte_limit: one(12, "uint64"),
  counters: message(13, Counters),
  rates: message(14, Rates),
  disk: message(15, DiskStatus),
  proof: message(16, ProofStatus),
  memory_record_count: one(17, "uint64"),
  subscriber_count: one(18, "uint64"),
  accept_time_ahead: message(19, Duration),
  retention_holds: messages(20, RetentionHold),
  holding: message(21, MemoryHolding),
  account_count: one(22, "uint64"),
  accounts: messages(23, MemoryAccount),
  deliveries: messages(30, Delivery),
  shared: message(38, SharedLogStatus),
});
export type Status = MessageOf<typeof GetStatusResponse>;

const GetCheckpointResponse = table("auditgate.v1.GetCheckpointResponse", {
  checkpoint: one(1, "string"),
  verifier_key: one(2, "string"),
});

const GetInclusionProofRequest = table("auditgate.v1.GetInclusionProofRequest", {
  id: optional(1, "string"),
  sequence: optional(2, "uint64"),
  size: one(3, "uint64"),
});

const GetInclusionProofResponse = table("auditgate.v1.GetInclusionProofResponse", {
  record: one(1, "bytes"),
  leaf_index: one(2, "uint64"),
  hashes: many(3, "bytes"),
  checkpoint: one(4, "string"),
});
export type InclusionProof = MessageOf<typeof GetInclusionProofResponse>;

const GetConsistencyProofRequest = table("auditgate.v1.GetConsistencyProofRequest", {
  old_size: one(1, "uint64"),
});

const GetConsistencyProofResponse = table("auditgate.v1.GetConsistencyProofResponse", {
  hashes: many(1, "bytes"),
  checkpoint: one(2, "string"),
});

const nothing = (name: string) => table(`auditgate.v1.${name}`, {});

/** A method: its path, and the tables of its request and of its response. */
export interface Method<Request extends Table, Response extends Table> {
  readonly name: string;
  readonly request: Request;
  readonly response: Response;
}

function method<Request extends Table, Response extends Table>(
  name: string,
  request: Request,
  response: Response,
): Method<Request, Response> {
  return { name, request, response };
}

export const Subscribe = method("Subscribe", SubscribeRequest, SubscribeResponse);
export const Search = method("Search", SearchRequest, SearchResponse);
export const GetRecord = method("GetRecord", GetRecordRequest, GetRecordResponse);
export const CountRecords = method("CountRecords", CountRecordsRequest, CountRecordsResponse);
export const CheckFilter = method("CheckFilter", CheckFilterRequest, CheckFilterResponse);
export const TopValues = method("TopValues", TopValuesRequest, TopValuesResponse);
export const GetCaller = method("GetCaller", nothing("GetCallerRequest"), GetCallerResponse);
export const ListEventTypes = method("ListEventTypes", nothing("ListEventTypesRequest"), ListEventTypesResponse);
export const GetStatus = method("GetStatus", nothing("GetStatusRequest"), GetStatusResponse);
export const GetCheckpoint = method("GetCheckpoint", nothing("GetCheckpointRequest"), GetCheckpointResponse);
export const GetInclusionProof = method("GetInclusionProof", GetInclusionProofRequest, GetInclusionProofResponse);
export const GetConsistencyProof = method("GetConsistencyProof", GetConsistencyProofRequest, GetConsistencyProofResponse);

/** All methods that the page calls. */
export const METHODS = [
  Subscribe,
  Search,
  GetRecord,
  CountRecords,
  CheckFilter,
  TopValues,
  GetCaller,
  ListEventTypes,
  GetStatus,
  GetCheckpoint,
  GetInclusionProof,
  GetConsistencyProof,
] as const;

export const ORDER_NEWEST_FIRST = 1;
export const ORDER_OLDEST_FIRST = 2;
export const GROUP_BY_SEVERITY = 3;
