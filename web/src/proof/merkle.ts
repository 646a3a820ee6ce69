// The proofs of RFC 9162 (sections 2.1.3.2 and 2.1.4.2), over trees as of RFC 6962.

/** A path through a tree of 64-bit size has at most so many hashes; a consistency proof one more. */
const HASHES_MAX = 65;
const HASH_BYTES = 32;

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

function node(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  return sha256(NODE, left, right);
}

/** The leaf of a record: the entry of the tree is the SHA-256 of its bytes. */
export async function leafOf(record: Uint8Array): Promise<Uint8Array> {
  return sha256(LEAF, await sha256(record));
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function wellFormed(hashes: readonly Uint8Array[]): boolean {
  return hashes.length <= HASHES_MAX && hashes.every((hash) => hash.length === HASH_BYTES);
}

/** The root to which the path leads from a leaf; nothing if the path does not fit such a tree. */
export async function rootOfInclusion(leaf: Uint8Array, index: bigint, size: bigint, path: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
  if (index < 0n || index >= size || !wellFormed(path)) return undefined;
  let first = index;
  let second = size - 1n;
  let root = leaf;
  for (const hash of path) {
    if (second === 0n) return undefined;
    if ((first & 1n) === 1n || first === second) {
      root = await node(hash, root);
      while ((first & 1n) === 0n && first !== 0n) {
        first >>= 1n;
        second >>= 1n;
      }
    } else {
      root = await node(root, hash);
    }
    first >>= 1n;
    second >>= 1n;
  }
  return second === 0n ? root : undefined;
}

/** Whether the tree of the new size and root begins with that of the old one. */
export async function isConsistent(
  old: { readonly size: bigint; readonly root: Uint8Array },
  now: { readonly size: bigint; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): Promise<boolean> {
  if (old.size > now.size || !wellFormed(proof)) return false;
  if (old.size === now.size) return proof.length === 0 && equal(old.root, now.root);
  // Every tree begins with the empty one.
  if (old.size === 0n) return proof.length === 0;
  const isPowerOfTwo = (old.size & (old.size - 1n)) === 0n;
  const path = isPowerOfTwo ? [old.root, ...proof] : [...proof];
  let first = old.size - 1n;
  let second = now.size - 1n;
  while ((first & 1n) === 1n) {
    first >>= 1n;
    second >>= 1n;
  }
  const start = path.shift();
  if (start === undefined) return false;
  let firstRoot = start;
  let secondRoot = start;
  for (const hash of path) {
    if (second === 0n) return false;
    if ((first & 1n) === 1n || first === second) {
      firstRoot = await node(hash, firstRoot);
      secondRoot = await node(hash, secondRoot);
      while ((first & 1n) === 0n && first !== 0n) {
        first >>= 1n;
        second >>= 1n;
      }
    } else {
      secondRoot = await node(secondRoot, hash);
    }
    first >>= 1n;
    second >>= 1n;
  }
  return second === 0n && equal(firstRoot, old.root) && equal(secondRoot, now.root);
}
