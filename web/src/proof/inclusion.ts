// Whether a record is in the log, checked here; and the same as a file for `auditgate verify`.

import type { InclusionProof } from "../wire/messages";
import { sequenceOf } from "../wire/row";
import { toBase64 } from "./base64";
import { InvalidProof, parseCheckpoint, verifyCheckpoint, type Checkpoint, type VerifierKey } from "./checkpoint";
import { equal, leafOf, rootOfInclusion } from "./merkle";

/** Checks that the proof is of this record, and leads to the root of its checkpoint. Without a key the signature is not looked at. */
export async function checkInclusion(proof: InclusionProof, record: Uint8Array, key: VerifierKey | undefined): Promise<Checkpoint> {
  if (!equal(proof.record, record)) throw new InvalidProof("the proof is of other bytes than the record that is shown");
  const checkpoint = key === undefined ? parseCheckpoint(proof.checkpoint) : await verifyCheckpoint(proof.checkpoint, key);
  const root = await rootOfInclusion(await leafOf(record), proof.leaf_index, checkpoint.size, proof.hashes);
  if (root === undefined || !equal(root, checkpoint.root)) {
    throw new InvalidProof("the path of the proof does not lead to the root of the checkpoint");
  }
  const sequence = sequenceOf(record);
  if (sequence !== proof.leaf_index + 1n) {
    throw new InvalidProof(`the record says that its sequence is ${sequence}, but the leaf is that of ${proof.leaf_index + 1n}`);
  }
  return checkpoint;
}

/** C2SP tlog-proof, with the bytes of the record as extra data: what `auditgate receipt` writes. */
export function proofFile(proof: InclusionProof): string {
  const hashes = proof.hashes.map((hash) => `${toBase64(hash)}\n`).join("");
  return `c2sp.org/tlog-proof@v1\nextra ${toBase64(proof.record)}\nindex ${proof.leaf_index}\n${hashes}\n${proof.checkpoint}`;
}
