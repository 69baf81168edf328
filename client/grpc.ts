/**
 * Unary gRPC over node:http2, with messages by field number. The SDK's client costs six times a bare Node to load, this 1.5 times, and an
 * operator waits for it with every command; what it leaves out (streams, retries, compression) no command needs.
 */
import { connect, constants, type ClientHttp2Session, type SecureClientSessionOptions } from 'node:http2';
import { CallError, GRPC } from './problem.ts';

export interface ChannelOptions {
  readonly address: string;
  /** Null: not encrypted. */
  readonly tls: SecureClientSessionOptions | null;
  readonly headers: Readonly<Record<string, string>>;
}

export interface CallOptions {
  readonly ms: number;
  readonly signal?: AbortSignal | undefined;
}

const FRAME_HEAD = 5;
const ANSWER_MAX = 64 * 1024 * 1024;

/** One connection; a broken one is replaced by the next call. */
export class Channel {
  readonly address: string;
  private readonly options: ChannelOptions;
  private session: ClientHttp2Session | null = null;

  constructor(options: ChannelOptions) {
    this.address = options.address;
    this.options = options;
  }

  async call(path: string, request: Uint8Array, { ms, signal }: CallOptions): Promise<Decoded> {
    const session = this.open();
    const answer = Promise.withResolvers<Buffer>();
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': `${ms}m`,
      'user-agent': 'backout',
      ...this.options.headers,
    });
    const chunks: Buffer[] = [];
    let [size, status, reason] = [0, null as string | null, ''];
    const read = (headers: { readonly [name: string]: unknown }): void => {
      if (typeof headers['grpc-status'] === 'string') [status, reason] = [headers['grpc-status'], textOf(headers['grpc-message'])];
      else if (headers[':status'] !== undefined && headers[':status'] !== 200)
        [status, reason] = [String(GRPC.unavailable), `HTTP status ${textOf(headers[':status'])}: is this a Temporal server?`];
    };
    const fail = (code: number, message: string, cause?: unknown): void => {
      answer.reject(new CallError(code, message, cause));
    };
    const timer = setTimeout(() => {
      fail(GRPC.deadline, `no answer within ${ms} ms`);
      stream.close(constants.NGHTTP2_CANCEL);
    }, ms);
    const abort = (): void => {
      fail(1, 'given up');
      stream.close(constants.NGHTTP2_CANCEL);
    };
    signal?.addEventListener('abort', abort, { once: true });
    session.once('error', (error) => {
      fail(GRPC.unavailable, reasonOf(error), error);
    });
    stream.on('response', read).on('trailers', read);
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > ANSWER_MAX) {
        fail(GRPC.unavailable, 'the answer is too large');
        stream.close(constants.NGHTTP2_CANCEL);
      }
      chunks.push(chunk);
    });
    stream.on('error', (error) => {
      fail(GRPC.unavailable, reasonOf(error), error);
    });
    stream.on('close', () => {
      const code = Number(status ?? GRPC.unavailable);
      if (code !== 0) fail(code, status === null ? 'the connection was closed' : decodeURIComponent(reason));
      else answer.resolve(Buffer.concat(chunks).subarray(FRAME_HEAD));
    });
    stream.end(frame(request));
    try {
      return decode(await answer.promise);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  close(): void {
    this.session?.destroy();
  }

  private open(): ClientHttp2Session {
    if (this.session && !this.session.closed && !this.session.destroyed) return this.session;
    const session = connect(`${this.options.tls ? 'https' : 'http'}://${this.address}`, this.options.tls ?? {});
    session.setMaxListeners(0);
    session.on('error', () => undefined); // Every call in flight says it.
    this.session = session;
    return session;
  }
}

const textOf = (header: unknown): string => (typeof header === 'string' || typeof header === 'number' ? String(header) : '');

/** `localhost` is tried on every address, and the reasons come together. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ');
  if (error instanceof Error && error.cause instanceof Error) return reasonOf(error.cause);
  return error instanceof Error ? error.message : String(error);
}

function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A message as field numbers and values; null fields are left out. */
export type Fields = readonly (readonly [number: number, value: string | number | boolean | Uint8Array | Fields | null | undefined])[];

export function encode(fields: Fields): Buffer {
  const parts: Buffer[] = [];
  for (const [number, value] of fields) {
    if (value === null || value === undefined) continue;
    if (typeof value === 'number' || typeof value === 'boolean') {
      parts.push(varint(number << 3), varint(Number(value)));
      continue;
    }
    const bytes = typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? value : encode(value);
    parts.push(varint((number << 3) | 2), varint(bytes.length), Buffer.from(bytes));
  }
  return Buffer.concat(parts);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** What came, by field number; wrong types read as absent, as an unknown field would. */
export class Decoded {
  private readonly fields = new Map<number, (number | Buffer)[]>();

  put(number: number, value: number | Buffer): void {
    this.fields.set(number, [...(this.fields.get(number) ?? []), value]);
  }

  number(number: number): number {
    const value = this.fields.get(number)?.at(-1);
    return typeof value === 'number' ? value : 0;
  }

  bytes(number: number): Buffer | null {
    return this.all(number).at(-1) ?? null;
  }
  text(number: number): string {
    return this.bytes(number)?.toString('utf8') ?? '';
  }
  message(number: number): Decoded | null {
    const bytes = this.bytes(number);
    return bytes && decode(bytes);
  }
  messages(number: number): Decoded[] {
    return this.all(number).map(decode);
  }

  private all(number: number): Buffer[] {
    return (this.fields.get(number) ?? []).filter((one) => typeof one !== 'number');
  }
}

function decode(bytes: Buffer): Decoded {
  const decoded = new Decoded();
  let at = 0;
  const next = (): number => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = bytes[at];
      if (byte === undefined) throw new CallError(GRPC.unavailable, 'the answer is cut short');
      at += 1;
      value += (byte & 127) * scale;
      scale *= 128;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = next();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) decoded.put(number, next());
    else if (wire === 2) {
      const length = next();
      decoded.put(number, bytes.subarray(at, at + length));
      at += length;
    } else at += wire === 1 ? 8 : 4; // Floats: nothing that is read here has any.
  }
  return decoded;
}
