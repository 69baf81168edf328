/** How far an inverse has come that is run statement by statement, as it is written in the customer's database. */
import { escapeLiteral } from 'pg';
import type { Destroyed } from '../../model/plan.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { sha256, type Statement } from './postgres-inverse.ts';
import { operationOf } from './postgres-ledger.ts';
import type { Undoing } from './postgres-undoing.ts';

export interface Row {
  readonly number: number;
  /** SHA-256. */
  readonly statement: string;
  readonly state: 'begun' | 'failed' | 'done';
  /** The index it is about, as it was there before; null: it was not. */
  readonly object: string | null;
  readonly destroyed: readonly Destroyed[];
}

export class Progress {
  readonly #undoing: Undoing;
  readonly #operation: string;
  readonly #rows: Map<number, Row>;
  private constructor(undoing: Undoing, rows: readonly Row[]) {
    this.#undoing = undoing;
    this.#operation = operationOf(undoing.call);
    this.#rows = new Map(rows.map((row) => [row.number, row]));
  }

  static async read(undoing: Undoing): Promise<Progress> {
    const { rows } = await undoing.client.query<Row>(
      'SELECT number, statement, state, object::text, destroyed FROM backout.undone_statements WHERE operation = $1',
      [operationOf(undoing.call)],
    );
    for (const { number, statement } of rows) {
      const ours = undoing.statements.find((one) => one.number === number);
      if (ours === undefined || sha256(ours.sql) !== statement)
        throw new AdapterError(
          'conflict',
          `this operation has begun with another inverse: its statement ${number} was a different one; nothing more was changed`,
        );
    }
    return new Progress(undoing, rows);
  }

  of({ number }: Statement): Row | null {
    return this.#rows.get(number) ?? null;
  }

  left(): Statement[] {
    return this.#undoing.statements.filter((one) => this.of(one)?.state !== 'done');
  }

  destroyed(): Destroyed[] {
    return [...this.#rows.values()].toSorted((a, b) => a.number - b.number).flatMap((row) => row.destroyed);
  }

  /** Where `note` is what has been committed. */
  async write({ number, sql }: Statement, state: Row['state'], object: string | null, destroyed: readonly Destroyed[]): Promise<void> {
    await this.#undoing.client.query(
      `INSERT INTO backout.undone_statements (operation, number, statement, state, object, destroyed) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (operation, number) DO UPDATE SET state = excluded.state, object = excluded.object, destroyed = excluded.destroyed, at = now()`,
      [this.#operation, number, sha256(sql), state, object, JSON.stringify(destroyed)],
    );
  }

  note({ number, sql }: Statement, state: Row['state'], object: string | null, destroyed: readonly Destroyed[]): void {
    this.#rows.set(number, { number, statement: sha256(sql), state, object, destroyed });
  }

  /** Exactly what is applied and what is not; of one of them nobody may know. */
  words(unknown: number | null = null): string {
    const { statements } = this.#undoing;
    const listed = (all: readonly Statement[]): string => all.map(({ title }) => title).join(', ');
    const isDone = (one: Statement): boolean => this.of(one)?.state === 'done';
    const [applied, not] = [statements.filter(isDone), statements.filter((one) => !isDone(one) && one.number !== unknown)];
    return `applied: ${applied.length === 0 ? 'none' : listed(applied)}; not applied: ${not.length === 0 ? 'none' : listed(not)}`;
  }

  where(number: number): string {
    return `operation = ${escapeLiteral(this.#operation)} AND number = ${number}`;
  }
}
