// Proofs against trees that are made here, with one thing wrong at a time.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { encode } from "../src/wire/codec";
import { table, one } from "../src/wire/codec";
import { fromBase64, toBase64 } from "../src/proof/base64";
import { InvalidProof, parseCheckpoint, parseVerifierKey, verifyCheckpoint } from "../src/proof/checkpoint";
import { checkInclusion, proofFile } from "../src/proof/inclusion";
import { isConsistent, leafOf, rootOfInclusion } from "../src/proof/merkle";
import { witness, type Keep, type Kept } from "../src/proof/witness";
import { CallError } from "../src/transport/error";
import type { Transport } from "../src/transport/transport";

function hash(...parts: Uint8Array[]): Uint8Array {
  const made = createHash("sha256");
  for (const part of parts) made.update(part);
  return new Uint8Array(made.digest());
}

const Numbered = table("Numbered", { sequence: one(1, "uint64"), salt: one(4, "string") });
const recordOf = (index: number, salt = ""): Uint8Array => encode(Numbered, { sequence: BigInt(index + 1), salt: `r${salt}` });
const leaves = (count: number, salt = "") => [...Array(count).keys()].map((index) => hash(Uint8Array.of(0), hash(recordOf(index, salt))));

// RFC 6962, section 2.1, by its definition.
function split(count: number): number {
  let k = 1;
  while (k * 2 < count) k *= 2;
  return k;
}
function rootOf(of: Uint8Array[]): Uint8Array {
  if (of.length === 0) return hash();
  if (of.length === 1) return of[0] as Uint8Array;
  const k = split(of.length);
  return hash(Uint8Array.of(1), rootOf(of.slice(0, k)), rootOf(of.slice(k)));
}
function pathOf(index: number, of: Uint8Array[]): Uint8Array[] {
  if (of.length === 1) return [];
  const k = split(of.length);
  return index < k ? [...pathOf(index, of.slice(0, k)), rootOf(of.slice(k))] : [...pathOf(index - k, of.slice(k)), rootOf(of.slice(0, k))];
}
function consistency(old: number, of: Uint8Array[], whole = true): Uint8Array[] {
  if (old === of.length) return whole ? [] : [rootOf(of)];
  const k = split(of.length);
  return old <= k ? [...consistency(old, of.slice(0, k), whole), rootOf(of.slice(k))] : [...consistency(old - k, of.slice(k), false), rootOf(of.slice(0, k))];
}

test("each record of each tree is proven, and no other", async () => {
  for (let size = 1; size <= 17; size++) {
    const tree = leaves(size);
    const root = rootOf(tree);
    for (let index = 0; index < size; index++) {
      const path = pathOf(index, tree);
      const leaf = await leafOf(recordOf(index));
      assert.deepEqual(await rootOfInclusion(leaf, BigInt(index), BigInt(size), path), root, `${index} of ${size}`);
      for (const [wrongIndex, wrongPath] of [
        [index + 1, path],
        [index, path.slice(1)],
        [index, [...path, hash()]],
        [index, path.map((each, at) => (at === 0 ? hash(each) : each))],
      ] as const) {
        if (wrongPath === path && wrongIndex >= size) continue;
        const other = await rootOfInclusion(leaf, BigInt(wrongIndex), BigInt(size), wrongPath);
        const same = other !== undefined && Buffer.from(other).equals(Buffer.from(root));
        assert.ok(!same || (path.length === 0 && wrongIndex === index && wrongPath.length === 0), `${wrongIndex} of ${size} with ${wrongPath.length} hashes`);
      }
    }
  }
  assert.equal(await rootOfInclusion(hash(), 0n, 1n << 60n, Array<Uint8Array>(70).fill(hash())), undefined);
  assert.equal(await rootOfInclusion(hash(), 0n, 2n, [Uint8Array.of(1)]), undefined);
});

test("a tree that grew is consistent, and one that changed is not", async () => {
  for (let size = 1; size <= 17; size++) {
    const tree = leaves(size);
    for (let old = 1; old <= size; old++) {
      const before = { size: BigInt(old), root: rootOf(tree.slice(0, old)) };
      const now = { size: BigInt(size), root: rootOf(tree) };
      const proof = consistency(old, tree);
      assert.ok(await isConsistent(before, now, proof), `${old} of ${size}`);
      assert.ok(!(await isConsistent({ ...before, root: hash(before.root) }, now, proof)));
      assert.ok(!(await isConsistent(before, { ...now, root: hash(now.root) }, proof)));
      assert.ok(!(await isConsistent(before, now, [...proof, hash()])));
      if (proof.length > 0) assert.ok(!(await isConsistent(before, now, proof.slice(1))), `${old} of ${size}, one hash less`);
    }
  }
  assert.ok(!(await isConsistent({ size: 3n, root: hash() }, { size: 2n, root: hash() }, [])));
});

// C2SP signed-note, by its specification.
interface Signer {
  name: string;
  key: KeyObject;
  id: Buffer;
  text: string;
}
function signer(name: string): Signer {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const encoded = Buffer.concat([Buffer.of(1), raw]);
  const id = createHash("sha256").update(`${name}\n`).update(encoded).digest().subarray(0, 4);
  return { name, key: privateKey, id, text: `${name}+${id.toString("hex")}+${encoded.toString("base64")}` };
}
function note(by: Signer, size: number | bigint, root: Uint8Array, origin = by.name): string {
  const body = `${origin}\n${size}\n${toBase64(root)}\n`;
  const signature = Buffer.concat([by.id, sign(null, Buffer.from(body), by.key)]).toString("base64");
  return `${body}\n— ${by.name} ${signature}\n`;
}

test("a checkpoint holds with the signature of its log, and with no other", async () => {
  const log = signer("audit.example/log");
  const other = signer("audit.example/log");
  const key = await parseVerifierKey(log.text);
  const text = note(log, 5, hash());
  assert.deepEqual((await verifyCheckpoint(text, key)).size, 5n);
  const wrong: [string, RegExp][] = [
    [note(other, 5, hash()), /no signature by the key/],
    [text.replace("\n5\n", "\n6\n"), /not valid/],
    [note(log, 5, hash(), "another/log"), /is of the log/],
    [text.slice(0, -1), /not a signed note/],
    [text.replace("\n\n", "\n"), /not a signed note/],
    [text.replace("\n5\n", "\n05\n"), /not a checkpoint/],
    [note(log, 5, hash().slice(1)), /32 bytes/],
    ["x".repeat(70_000), /not a signed note/],
  ];
  for (const [bad, expected] of wrong) await assert.rejects(verifyCheckpoint(bad, key), (error: unknown) => error instanceof InvalidProof && expected.test(error.message), bad.slice(0, 80));
  for (let at = 0; at < text.length; at++) {
    const changed = `${text.slice(0, at)}${text.charAt(at) === "A" ? "B" : "A"}${text.slice(at + 1)}`;
    await assert.rejects(verifyCheckpoint(changed, key), InvalidProof, `character ${at}`);
  }
  await assert.rejects(parseVerifierKey(log.text.replace(/\+[0-9a-f]{8}\+/, "+00000000+")), /id/);
  await assert.rejects(parseVerifierKey("nonsense"), InvalidProof);
  assert.equal(parseCheckpoint(note(log, (1n << 64n) - 1n, hash())).size, (1n << 64n) - 1n);
});

test("a proof of a record is refused as soon as one part of it is wrong", async () => {
  const log = signer("log");
  const key = await parseVerifierKey(log.text);
  const tree = leaves(11);
  const proof = { record: recordOf(6), leaf_index: 6n, hashes: pathOf(6, tree), checkpoint: note(log, 11, rootOf(tree)) };
  assert.equal((await checkInclusion(proof, recordOf(6), key)).size, 11n);
  assert.equal((await checkInclusion(proof, recordOf(6), undefined)).size, 11n);
  const refused = (changed: Partial<typeof proof>, shown: Uint8Array, why: RegExp) => assert.rejects(checkInclusion({ ...proof, ...changed }, shown, key), why);
  await refused({}, recordOf(7), /other bytes/);
  await refused({ record: recordOf(7) }, recordOf(7), /root/);
  await refused({ leaf_index: 5n }, recordOf(6), /root/);
  await refused({ hashes: pathOf(5, tree) }, recordOf(6), /root/);
  await refused({ checkpoint: note(log, 11, hash()) }, recordOf(6), /root/);
  await refused({ checkpoint: note(signer("log"), 11, rootOf(tree)) }, recordOf(6), /signature/);
  // A record at the place of another one.
  const moved = [...tree];
  moved[3] = hash(Uint8Array.of(0), hash(recordOf(6)));
  await refused({ leaf_index: 3n, hashes: pathOf(3, moved), checkpoint: note(log, 11, rootOf(moved)) }, recordOf(6), /sequence is 7/);
  const lines = proofFile(proof).split("\n");
  assert.equal(lines[0], "c2sp.org/tlog-proof@v1");
  assert.equal(lines[2], "index 6");
  assert.equal(lines[1], `extra ${toBase64(recordOf(6))}`);
});

/** A gateway with a log, which may be exchanged. */
class Gateway {
  proof: Uint8Array[] | undefined;
  refusal: CallError | undefined;
  by: Signer;
  tree: Uint8Array[];

  constructor(by: Signer, tree: Uint8Array[]) {
    this.by = by;
    this.tree = tree;
  }

  get transport(): Transport {
    const unary = async (method: { name: string }, request: { old_size?: bigint }) => {
      if (this.refusal !== undefined) throw this.refusal;
      const checkpoint = note(this.by, this.tree.length, rootOf(this.tree));
      if (method.name === "GetCheckpoint") return { checkpoint, verifier_key: this.by.text };
      return { checkpoint, hashes: this.proof ?? consistency(Number(request.old_size), this.tree) };
    };
    return { unary } as unknown as Transport;
  }
}

function keep(): Keep & { value: string | null } {
  return {
    value: null,
    get() {
      return this.value;
    },
    set(value: string) {
      this.value = value;
    },
  };
}

test("a witness follows a log that grows", async () => {
  const gateway = new Gateway(signer("log"), leaves(5));
  const kept = keep();
  const first = await witness(gateway.transport, kept, 1);
  assert.equal(first.kind, "good");
  gateway.tree = leaves(9);
  const second = await witness(gateway.transport, kept, 2);
  assert.ok(second.kind === "good" && second.before?.seen === 1 && second.now.size === 9n);
  const third = await witness(gateway.transport, kept, 3);
  assert.ok(third.kind === "good" && third.before?.seen === 2);
  assert.equal((JSON.parse(kept.value ?? "") as Kept).first_size, "5");
});

test("a witness raises the alarm at a log that was rolled back, changed or exchanged, and keeps what it saw", async () => {
  const by = signer("log");
  const changes: [string, (gateway: Gateway) => void, RegExp][] = [
    ["rolled back", (gateway) => (gateway.tree = leaves(3)), /rolled back/],
    ["changed, same size", (gateway) => (gateway.tree = leaves(5, "x")), /two histories/],
    ["changed and grown", (gateway) => (gateway.tree = leaves(9, "x")), /does not begin/],
    ["a proof that proves nothing", (gateway) => { gateway.tree = leaves(9); gateway.proof = []; }, /does not begin/],
    ["another key", (gateway) => (gateway.by = signer("log")), /key/],
    ["another log", (gateway) => (gateway.by = signer("other")), /key/],
    ["broken", (gateway) => { gateway.refusal = new CallError(9, "the log does not match"); gateway.refusal.reason = "PROOF_BROKEN"; }, /does not match/],
  ];
  for (const [name, change, why] of changes) {
    const gateway = new Gateway(by, leaves(5));
    const kept = keep();
    await witness(gateway.transport, kept, 1);
    const before = kept.value;
    change(gateway);
    const verdict = await witness(gateway.transport, kept, 2);
    assert.ok(verdict.kind === "alarm", name);
    assert.match(verdict.why, why, name);
    assert.equal(kept.value, before, `${name}: what was seen stays`);
    assert.match(verdict.before.checkpoint, /^log\n5\n/);
  }
});

test("a gateway that is away, or keeps no tree, is no alarm", async () => {
  const gateway = new Gateway(signer("log"), leaves(5));
  const kept = keep();
  await witness(gateway.transport, kept, 1);
  gateway.refusal = new CallError(14, "unreachable");
  assert.equal((await witness(gateway.transport, kept, 2)).kind, "unknown");
  gateway.refusal = new CallError(9, "no tree");
  gateway.refusal.reason = "PROOF_OFF";
  assert.equal((await witness(gateway.transport, kept, 2)).kind, "unknown");
  kept.value = "{not json";
  gateway.refusal = undefined;
  assert.equal((await witness(gateway.transport, kept, 3)).kind, "good");
});

test("base64 has one form", () => {
  for (const length of [0, 1, 2, 3, 32, 20_000]) {
    const bytes = new Uint8Array(length).fill(251);
    assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  }
  for (const wrong of ["A", "AB", "AAA", "AB==", "A===", "AA=A", " AAAA", "AA-_"]) assert.equal(fromBase64(wrong), undefined, wrong);
});
