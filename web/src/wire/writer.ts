// Writes the wire format of protobuf: requests only, which are small.

const utf8 = new TextEncoder();

export class Writer {
  private parts: number[] = [];

  finish(): Uint8Array {
    return Uint8Array.from(this.parts);
  }

  tag(number: number, wireType: number): void {
    this.uint64(BigInt(number * 8 + wireType));
  }

  /** A varint; negative numbers in two's complement of 64 bits. */
  uint64(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.parts.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.parts.push(Number(rest));
  }

  double(value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    for (const byte of bytes) this.parts.push(byte);
  }

  bytes(value: Uint8Array): void {
    this.uint64(BigInt(value.length));
    for (const byte of value) this.parts.push(byte);
  }

  string(value: string): void {
    this.bytes(utf8.encode(value));
  }
}
