// Checkpoints and verifier keys: C2SP tlog-checkpoint and signed-note, with Ed25519.

import { fromBase64 } from "./base64";
import { equal } from "./merkle";

/** The largest checkpoint that is read, in characters. */
const CHECKPOINT_MAX = 64 * 1024;
const ED25519 = 1;
const KEY_ID_BYTES = 4;

export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The note, as it came. */
  readonly text: string;
}

/** Why something proves nothing. */
export class InvalidProof extends Error {
  override name = "InvalidProof";
}

/** What a browser may lack. */
export type CryptoSupport = "all" | "no-signatures" | "none";

/** SHA-256 needs a secure context; Ed25519 in addition a browser of 2025. */
export async function cryptoSupport(): Promise<CryptoSupport> {
  if (globalThis.crypto?.subtle === undefined) return "none";
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32), "Ed25519", false, ["verify"]);
    return "all";
  } catch {
    return "no-signatures";
  }
}

/** Reads a checkpoint without looking at its signatures. Throws InvalidProof. */
export function parseCheckpoint(text: string): Checkpoint {
  const [body] = split(text);
  const [origin, size, root, ...extensions] = body.slice(0, -1).split("\n");
  if (origin === undefined || origin === "" || !/^(?:0|[1-9]\d{0,19})$/.test(size ?? "") || extensions.includes("")) {
    throw new InvalidProof("it is not a checkpoint as C2SP tlog-checkpoint has it: origin, size and root hash");
  }
  const hash = fromBase64(root ?? "");
  if (hash?.length !== 32) throw new InvalidProof("the root hash of the checkpoint is not 32 bytes in base64");
  return { origin, size: BigInt(size ?? "0"), root: hash, text };
}

/** The text that is signed, with its last line break, and the lines of signatures. */
function split(text: string): [body: string, signatures: string[]] {
  const at = text.lastIndexOf("\n\n");
  if (text.length > CHECKPOINT_MAX || at < 0 || !text.endsWith("\n")) {
    throw new InvalidProof("it is not a signed note as C2SP signed-note has it");
  }
  return [text.slice(0, at + 1), text.slice(at + 2, -1).split("\n")];
}

/** A verifier key: `NAME+ID+KEY`. */
export interface VerifierKey {
  readonly name: string;
  readonly id: Uint8Array;
  readonly key: Uint8Array<ArrayBuffer>;
  readonly text: string;
}

/** Reads a verifier key. Throws InvalidProof. */
export async function parseVerifierKey(text: string): Promise<VerifierKey> {
  const parts = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim());
  const encoded = fromBase64(parts?.[3] ?? "");
  if (parts === null || encoded === undefined || encoded.length !== 33 || encoded[0] !== ED25519) {
    throw new InvalidProof("it is not a verifier key for Ed25519 as C2SP signed-note has it");
  }
  const name = parts[1] ?? "";
  const head = new TextEncoder().encode(`${name}\n`);
  const hashed = new Uint8Array(head.length + encoded.length);
  hashed.set(head);
  hashed.set(encoded, head.length);
  const id = new Uint8Array(await crypto.subtle.digest("SHA-256", hashed)).slice(0, KEY_ID_BYTES);
  const written = Uint8Array.from((parts[2] ?? "").match(/../g) ?? [], (byte) => parseInt(byte, 16));
  if (!equal(id, written)) throw new InvalidProof("the id in the verifier key is not that of the key");
  return { name, id, key: encoded.slice(1), text: text.trim() };
}

/** Reads a checkpoint and verifies the log's signature on it. Throws InvalidProof. */
export async function verifyCheckpoint(text: string, key: VerifierKey): Promise<Checkpoint> {
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== key.name) {
    throw new InvalidProof(`the checkpoint is of the log "${checkpoint.origin}", and the key is that of "${key.name}"`);
  }
  const [body, lines] = split(text);
  const imported = await crypto.subtle.importKey("raw", key.key, "Ed25519", false, ["verify"]);
  for (const line of lines) {
    const parts = /^— (\S+) (\S+)$/.exec(line);
    if (parts === null) throw new InvalidProof("a line of the checkpoint's signatures is not one");
    const signature = fromBase64(parts[2] ?? "");
    if (parts[1] !== key.name || signature === undefined || !equal(signature.slice(0, KEY_ID_BYTES), key.id)) continue;
    if (await crypto.subtle.verify("Ed25519", imported, signature.slice(KEY_ID_BYTES), new TextEncoder().encode(body))) return checkpoint;
    throw new InvalidProof("the signature on the checkpoint is not valid");
  }
  throw new InvalidProof(`the checkpoint carries no signature by the key ${key.name}`);
}
