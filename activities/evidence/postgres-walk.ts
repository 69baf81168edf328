/** Walks along a chain, entry by entry, and keeps what does not hold. */
import canonicalize from 'canonicalize';
import { createHash, hash } from 'node:crypto';
import type { Break } from './chain.ts';
import type { ChainOptions } from './postgres-options.ts';
import { type Segment, segmentsOf } from './postgres-sql.ts';

const SHOWN_MAX = 20;
const DIGEST_CHUNK = 65_536;
const WHOLE = /^-?\d+$/;
const NO_JSON = Symbol('not JSON');

/** As `entriesQuery` selects it. */
export type Row = readonly (string | null)[];
const FIRST_SEGMENT = 3;

/** The hash that an entry should have, as its column would hold it; null: it holds no JSON where it should. */
export function hasher(options: ChainOptions): (row: Row) => string | null {
  const segments = segmentsOf(options);
  const encoding = options.encoding === 'base64' ? 'base64' : 'hex';
  const [only] = segments;
  // The common case, in one call without a buffer of its own.
  if (segments.length === 1 && only?.kind === 'text') return (row) => options.prefix + hash(options.algorithm, row[FIRST_SEGMENT] ?? '', encoding);
  return (row) => {
    const running = createHash(options.algorithm);
    for (const [place, segment] of segments.entries()) {
      const bytes = bytesOf(segment, row[FIRST_SEGMENT + place] ?? null);
      if (bytes === NO_JSON) return null;
      running.update(bytes);
    }
    return options.prefix + running.digest(encoding);
  };
}

function bytesOf({ kind, instead }: Segment, value: string | null): string | Buffer | typeof NO_JSON {
  if (value === null) return instead ?? '';
  if (kind === 'text') return value;
  if (kind !== 'json') return Buffer.from(value, kind);
  try {
    return canonicalize(JSON.parse(value)) ?? NO_JSON;
  } catch {
    return NO_JSON; // Told as a break of this entry.
  }
}

export interface From {
  readonly last: string | null;
  readonly head: string | null;
}

export class Walk {
  entries = 0;
  broken = 0;
  readonly breaks: Break[] = [];
  #last: string | null;
  #head: string | null;
  #number: bigint | null = null;
  /** What the last entry should have as its hash, where it has another one: whoever links to that has done nothing wrong. */
  #meant: string | null = null;
  readonly #options: ChainOptions;
  readonly #hash: (row: Row) => string | null;
  readonly #stored: number;
  readonly #digest = createHash('sha256');
  #chunk = '';

  constructor(options: ChainOptions, { last, head }: From = { last: null, head: null }) {
    this.#options = options;
    this.#hash = hasher(options);
    this.#stored = FIRST_SEGMENT + segmentsOf(options).length;
    this.#last = last;
    this.#head = head;
    this.#number = last !== null && WHOLE.test(last) ? BigInt(last) : null;
  }

  get last(): string | null {
    return this.#last;
  }

  get head(): string | null {
    return this.#head;
  }

  /** One entry further; what comes after is measured by what is stored here, so that one break is one break. */
  take(row: Row): void {
    const [order = null, previous = null, stored = null] = row;
    // In no order it is no link of the chain, and no span of it holds it.
    if (order === null) return this.#tell('', [{ kind: 'order', detail: `an entry has no ${this.#options.order}` }]);
    const meant = this.#hash(row);
    const wrong = this.#outOfOrder(order);
    const isLinked = this.#last === null ? this.#isGenesis(previous) : this.#isSame(previous, this.#head) || this.#isSame(previous, this.#meant);
    if (!isLinked)
      wrong.push({
        kind: 'link',
        detail: `its ${this.#options.previous} is not ${this.#last === null ? 'that of a first entry' : `the ${this.#options.hash} of the entry before it`}`,
      });
    const isHashed = this.#isSame(stored, meant);
    if (!isHashed)
      wrong.push({ kind: 'hash', detail: meant === null ? 'it holds no JSON where it should' : `its ${this.#options.hash} is not the one of what it holds` });
    this.#tell(order, wrong);
    this.entries += 1;
    this.#last = order;
    this.#head = stored;
    this.#meant = isHashed ? null : meant;
    this.#digestOf(row[this.#stored]);
  }

  /** SHA-256 over all that is stored of each entry walked, where the rows have it. */
  digest(): string {
    this.#digest.update(this.#chunk);
    this.#chunk = '';
    return this.#digest.copy().digest('hex');
  }

  /** A row is printed in parentheses with its quotes doubled, so that a line break never stands for the end of one. */
  #digestOf(stored: string | null | undefined): void {
    if (typeof stored !== 'string') return;
    this.#chunk += stored;
    this.#chunk += '\n';
    if (this.#chunk.length < DIGEST_CHUNK) return;
    this.#digest.update(this.#chunk);
    this.#chunk = '';
  }

  #outOfOrder(order: string): Pick<Break, 'kind' | 'detail'>[] {
    const { contiguous, order: name } = this.#options;
    if (order === this.#last) return [{ kind: 'order', detail: `there is another entry with this ${name}` }];
    if (!contiguous) return [];
    const before = this.#number;
    this.#number = WHOLE.test(order) ? BigInt(order) : null;
    if (this.#number === null) return [{ kind: 'order', detail: `its ${name} is no whole number` }];
    if (before === null || this.#number === before + 1n) return [];
    return [{ kind: 'gap', detail: `${this.#number - before - 1n} before it, from ${before + 1n} to ${this.#number - 1n}, are not there` }];
  }

  /** One break an entry, of the first kind that is found; it says all that is wrong. */
  #tell(at: string, wrong: readonly Pick<Break, 'kind' | 'detail'>[]): void {
    const [first] = wrong;
    if (first === undefined) return;
    this.broken += 1;
    if (this.breaks.length < SHOWN_MAX) this.breaks.push({ at, kind: first.kind, detail: wrong.map(({ detail }) => detail).join('; ') });
  }

  #isGenesis(previous: string | null): boolean {
    const { genesis } = this.#options;
    return genesis === null ? previous === null || previous === '' : this.#isSame(previous, genesis);
  }

  /** Upper-case hex and broken lines are the same hash. */
  #isSame(one: string | null, other: string | null): boolean {
    if (one === null || other === null) return false;
    return one === other || plain(one, this.#options) === plain(other, this.#options);
  }
}

const plain = (text: string, { encoding }: ChainOptions): string => (encoding === 'base64' ? text.replaceAll(/\s/g, '') : text.toLowerCase());
