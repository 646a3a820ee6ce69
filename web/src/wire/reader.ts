// Reads the wire format of protobuf, bounds checked: what a gateway sends is not trusted.

/** The bytes are not a protobuf message. */
export class Malformed extends Error {
  override name = "Malformed";
}

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

const utf8 = new TextDecoder();

/** Walks the fields of one message. */
export class Reader {
  private at: number;
  private readonly end: number;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.at = 0;
    this.end = bytes.length;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  /** The next tag: field number times 8 and wire type. */
  tag(): number {
    const tag = this.varint();
    if (tag >>> 3 === 0 || tag > 0xffff_ffff) throw new Malformed(`no field has the tag ${tag}`);
    return tag;
  }

  /** A varint of at most 53 bits: a tag, a length, a small number. */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 8; count++) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      factor *= 128;
    }
    throw new Malformed("a number is longer than 53 bits");
  }

  /** A varint of 64 bits, without a sign. */
  uint64(): bigint {
    let low = 0;
    let factor = 1;
    for (let count = 0; count < 7; count++) {
      const byte = this.byte();
      low += (byte & 0x7f) * factor;
      if (byte < 0x80) return BigInt(low);
      factor *= 128;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new Malformed("a varint is longer than ten bytes");
  }

  /** A varint of 64 bits, in two's complement. */
  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** An int32 or an enum: negative ones take ten bytes. */
  int32(): number {
    return Number(BigInt.asIntN(32, this.uint64()));
  }

  double(): number {
    const from = this.take(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + from, 8).getFloat64(0, true);
  }

  /** A view of the bytes of a string, bytes or message field, not a copy. */
  view(): Uint8Array {
    const length = this.varint();
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  string(): string {
    return utf8.decode(this.view());
  }

  /** Passes over a value of this wire type. */
  skip(wireType: number): void {
    switch (wireType) {
      case VARINT:
        this.uint64();
        return;
      case FIXED64:
        this.take(8);
        return;
      case BYTES:
        this.take(this.varint());
        return;
      case FIXED32:
        this.take(4);
        return;
      default:
        throw new Malformed(`wire type ${wireType} is not in use`);
    }
  }

  private byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw new Malformed("a message ends in the middle of a field");
    this.at += 1;
    return byte;
  }

  private take(length: number): number {
    const from = this.at;
    if (length > this.end - from) throw new Malformed("a message ends in the middle of a field");
    this.at = from + length;
    return from;
  }
}
