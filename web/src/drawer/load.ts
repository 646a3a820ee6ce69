// record.js: the generated code of the protocol.

import { chunk } from "../state/chunk";

export type RecordCode = typeof import("./record");

export const { code: recordCode, load: loadRecordCode } = chunk<RecordCode>("record.js");
