/** `postgres`: a customer's append-only, hash-chained table [001 step 3d]. It is read, and appended to; no statement here changes or deletes an entry. */
import { type Client, Query } from 'pg';
import { AdapterError } from '../adapters/adapter.ts';
import { withSession } from '../databases/postgres-session.ts';
import type { ChainCall, EvidenceChain, Survey } from './chain.ts';
import { annotate } from './postgres-append.ts';
import { counted, look } from './postgres-look.ts';
import { manual } from './postgres-manual.ts';
import { chainOptions, type ChainOptions } from './postgres-options.ts';
import { AS_TEXT, entriesQuery, inTransaction, warningsOf } from './postgres-sql.ts';
import { type Row, Walk } from './postgres-walk.ts';

type Call = ChainCall<ChainOptions>;

const WATCH_MS = 1_000;

export const postgres: EvidenceChain<ChainOptions> = {
  name: 'postgres',
  options: chainOptions,
  limits: [
    'One table is one chain: chains that are kept apart by tenant or by run within one table cannot be walked.',
    'Unless `previous` is unique, a writer that reads the head outside of the lock can fork the chain, beside an annotation as beside any other entry; a fork shows as a broken link.',
    'Other writers wait while an annotation is linked, for holdTimeoutSeconds a statement at most; where their lock is not to be had within lockTimeoutSeconds, three times, it is given up, and nothing is appended.',
    'A function of the house’s own (append.function) locks as it does; Backout verifies the link before it is committed.',
    'The digest is over all columns as they are printed: a column that is added to the table or taken from it changes it.',
    'What was cut off at the end shows only beside an earlier survey.',
    'Text is hashed in UTF-8, and numbers of canonical JSON are those of JavaScript.',
  ],
  survey,
  annotate,
  affected: (call, window) =>
    withSession(call, call.options.url, (client) =>
      inTransaction(client, 'read', call.options, async () => {
        const runs = await counted(client, call.options, window);
        return runs === null ? (await look(client, call, window, null)).entries.count : runs.count;
      }),
    ),
  manual,
};

async function survey(call: Call, until: string | null = null): Promise<Survey> {
  const { options, name } = call;
  const walk = new Walk(options);
  // One statement reads it all, as long as it takes, and nobody waits for a reader: its rows are watched instead.
  const settings = { lockTimeoutSeconds: 0, statementTimeoutSeconds: 0, doing: () => `${walk.entries} entries of ${name} verified` };
  return withSession(
    call,
    options.url,
    (client) =>
      inTransaction(client, 'read', options, async () => {
        const warnings = await warningsOf(client, options);
        await stream(client, entriesQuery(options, { until }, true), options.statementTimeoutSeconds, (row) => {
          walk.take(row);
        });
        const { entries, last, head, breaks, broken } = walk;
        return { entries, last, head, digest: walk.digest(), breaks, broken, warnings };
      }),
    settings,
  );
}

/** Row by row as they come, so that no more than the network holds is in memory. */
function stream(client: Client, { text, values }: { text: string; values: string[] }, silenceSeconds: number, take: (row: Row) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const config = { text, values, rowMode: 'array', types: AS_TEXT } as const;
    const query = client.query(new Query(config));
    let heardAt = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - heardAt < silenceSeconds * 1_000) return;
      clearInterval(watch);
      // Nothing more is to be had of it, not even a ROLLBACK.
      void client.end();
      reject(new AdapterError('unavailable', `no entry came for ${silenceSeconds} s (statementTimeoutSeconds)`));
    }, WATCH_MS);
    query.on('row', (row) => {
      heardAt = performance.now();
      take(row);
    });
    query.on('error', (error) => {
      clearInterval(watch);
      reject(error);
    });
    query.on('end', () => {
      clearInterval(watch);
      resolve();
    });
  });
}
