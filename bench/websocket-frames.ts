/**
 * Reads what a WebSocket server sends (RFC 6455, section 5), cut at any byte, and hands payload spans on without
 * copying them. For measuring only: it speaks no extension and does not check UTF-8.
 *
 *   | fin, opcode | 0, length 0..125 / 126 / 127 | 0, 2 or 8 bytes of length | payload |
 */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const HEADER_BYTES_MAX = 10;
const CONTROL_BYTES_MAX = 125;
/** No Core sends a message of this size; a length above it means the stream is out of step. */
const FRAME_BYTES_MAX = 2 ** 31;

export interface FrameSink {
  /** A part of a data message. */
  payload(buffer: Buffer, start: number, end: number): void;
  /** The data message whose parts came before is complete. */
  messageEnd(): void;
  /** `payload` is only valid during the call. */
  control(opcode: number, payload: Buffer): void;
}

export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FrameError';
  }
}

type State = 'header' | 'payload';

export class FrameReader {
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  readonly #control = Buffer.alloc(CONTROL_BYTES_MAX);
  #state: State = 'header';
  #headerBytes = 0;
  #remaining = 0;
  #controlBytes = 0;
  #opcode = 0;
  #final = true;
  /** Between the first and the last fragment of a data message. */
  #inMessage = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** The next byte starts a message. */
  get atBoundary(): boolean {
    return this.#state === 'header' && this.#headerBytes === 0 && !this.#inMessage;
  }

  /** Reads to the end of one frame, or of the bytes; returns where it stopped. */
  read(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (this.#state === 'header') {
      if (at === end) return at;
      this.#header[this.#headerBytes++] = buffer[at++]!;
      if (this.#headerBytes >= 2 && this.#headerBytes === headerBytes(this.#header[1]!)) this.#open();
    }
    const stop = Math.min(end, at + this.#remaining);
    if (this.#opcode >= OPCODE.close) {
      this.#controlBytes += buffer.copy(this.#control, this.#controlBytes, at, stop);
    } else if (stop > at) {
      this.#sink.payload(buffer, at, stop);
    }
    this.#remaining -= stop - at;
    if (this.#remaining === 0) this.#close();
    return stop;
  }

  #open(): void {
    const first = this.#header[0]!;
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw new FrameError('a reserved bit is set, but no extension was agreed on');
    const length = this.#payloadBytes();
    if (length > FRAME_BYTES_MAX) throw new FrameError(`a frame of ${length} bytes`);
    switch (opcode) {
      case OPCODE.continuation:
        if (!this.#inMessage) throw new FrameError('a continuation without a message');
        break;
      case OPCODE.text:
      case OPCODE.binary:
        if (this.#inMessage) throw new FrameError('a new message inside a fragmented one');
        break;
      case OPCODE.close:
      case OPCODE.ping:
      case OPCODE.pong:
        if (!final || length > CONTROL_BYTES_MAX)
          throw new FrameError('a control frame that is fragmented or too long');
        break;
      default:
        throw new FrameError(`opcode ${opcode}`);
    }
    if (opcode < OPCODE.close) this.#inMessage = true;
    this.#opcode = opcode;
    this.#final = final;
    this.#remaining = length;
    this.#controlBytes = 0;
    this.#state = 'payload';
  }

  #payloadBytes(): number {
    const short = this.#header[1]! & 0x7f;
    if ((this.#header[1]! & 0x80) !== 0) throw new FrameError('a masked frame from a server');
    if (short === 126) return this.#header.readUInt16BE(2);
    return short === 127 ? Number(this.#header.readBigUInt64BE(2)) : short;
  }

  #close(): void {
    this.#state = 'header';
    this.#headerBytes = 0;
    if (this.#opcode >= OPCODE.close) {
      this.#sink.control(this.#opcode, this.#control.subarray(0, this.#controlBytes));
    } else if (this.#final) {
      this.#inMessage = false;
      this.#sink.messageEnd();
    }
  }
}

function headerBytes(second: number): number {
  const short = second & 0x7f;
  return short === 127 ? 10 : short === 126 ? 4 : 2;
}

/** A client's frame: masked, as the RFC wants it; the mask may be zero, because nothing is hidden here. */
export function clientFrame(opcode: number, payload: Buffer): Buffer {
  if (payload.length > CONTROL_BYTES_MAX) throw new RangeError('only short frames are sent');
  const mask = Buffer.alloc(4);
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, payload]);
}
