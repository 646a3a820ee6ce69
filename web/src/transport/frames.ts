// The frames of gRPC-Web: a flag, a length of four bytes, and so many bytes. The last frame
// carries the trailers, as lines of text.

/** The largest frame that is accepted: a record of 16 MiB, its proof, and room. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024;

const HEADER_BYTES = 5;
const TRAILERS = 0x80;
const COMPRESSED = 0x01;

/** The answer is not gRPC-Web. */
export class BadFrame extends Error {
  override name = "BadFrame";
}

export type Frame =
  | { readonly kind: "message"; readonly bytes: Uint8Array }
  | { readonly kind: "trailers"; readonly trailers: Map<string, string> };

/** Cuts a stream of chunks into frames. */
export class FrameParser {
  private chunks: Uint8Array[] = [];
  private held = 0;

  /** Bytes that wait for the rest of their frame. */
  get waiting(): number {
    return this.held;
  }

  /** The frames that are whole with this chunk. Messages are views, copied only where a frame lies in several chunks. */
  push(chunk: Uint8Array): Frame[] {
    if (chunk.length > 0) {
      this.chunks.push(chunk);
      this.held += chunk.length;
    }
    const frames: Frame[] = [];
    for (;;) {
      const header = this.peek();
      if (header === undefined) return frames;
      const [flag, length] = header;
      if (length > FRAME_BYTES_MAX) {
        throw new BadFrame(`the answer has a message of ${length} bytes, limit ${FRAME_BYTES_MAX}`);
      }
      if (this.held < HEADER_BYTES + length) return frames;
      const bytes = this.take(HEADER_BYTES + length).subarray(HEADER_BYTES);
      if ((flag & TRAILERS) !== 0) {
        frames.push({ kind: "trailers", trailers: parseTrailers(bytes) });
      } else if ((flag & COMPRESSED) !== 0) {
        throw new BadFrame("the answer is compressed, which the page did not ask for");
      } else {
        frames.push({ kind: "message", bytes });
      }
    }
  }

  private peek(): [flag: number, length: number] | undefined {
    if (this.held < HEADER_BYTES) return undefined;
    const header = new Uint8Array(HEADER_BYTES);
    let filled = 0;
    for (const chunk of this.chunks) {
      const part = chunk.subarray(0, HEADER_BYTES - filled);
      header.set(part, filled);
      filled += part.length;
      if (filled === HEADER_BYTES) break;
    }
    const view = new DataView(header.buffer);
    return [view.getUint8(0), view.getUint32(1)];
  }

  private take(length: number): Uint8Array {
    this.held -= length;
    const first = this.chunks[0];
    if (first !== undefined && first.length >= length) {
      if (first.length === length) this.chunks.shift();
      else this.chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const whole = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const chunk = this.chunks[0];
      if (chunk === undefined) throw new BadFrame("a frame has fewer bytes than were counted");
      const part = chunk.subarray(0, length - filled);
      whole.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) this.chunks.shift();
      else this.chunks[0] = chunk.subarray(part.length);
    }
    return whole;
  }
}

/** A request of one message. */
export function frame(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const framed = new Uint8Array(HEADER_BYTES + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, HEADER_BYTES);
  return framed;
}

function parseTrailers(bytes: Uint8Array): Map<string, string> {
  const trailers = new Map<string, string>();
  for (const line of new TextDecoder().decode(bytes).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return trailers;
}
