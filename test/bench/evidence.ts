/**
 * `node test/bench/evidence.ts [ENTRIES]`: a chain of evidence verified, beside a bare SHA-256 loop over the same bytes, interleaved in one run. The survey
 * also reads every entry out of Postgres, compares links, and takes its digest over all columns; the bare loop has its texts in memory.
 */
import { hash } from 'node:crypto';
import { type ChainOptions, chainOptions } from '../../activities/evidence/postgres-options.ts';
import { postgres } from '../../activities/evidence/postgres.ts';
import { queryAt, startServer } from '../store/database.ts';

export interface EvidenceMeasured {
  readonly entries: number;
  /** Entries a second, one for each round. */
  readonly survey: readonly number[];
  readonly bare: readonly number[];
  readonly rssMb: number;
}

const bodyOf = (n: number | string): string => `{"event":"tool.called","n":${n},"detail":"a call of a tool with some arguments, and its answer in short"}`;

const TABLE = `CREATE TABLE evidence (seq bigint PRIMARY KEY, at timestamptz NOT NULL, run_id text NOT NULL, body text NOT NULL, op text, previous text NOT NULL UNIQUE, hash text NOT NULL)`;
const fill = (count: number): string => `DO $$ DECLARE p text := ''; h text; b text; BEGIN
  FOR n IN 1..${count} LOOP
    b := replace('${bodyOf('@')}', '@', n::text);
    h := encode(sha256(convert_to(p || '|' || n || '|' || b, 'UTF8')), 'hex');
    INSERT INTO evidence VALUES (n, '2026-11-21 10:00Z'::timestamptz + n * interval '1 second', 'run-' || n / 10, b, NULL, p, h);
    p := h;
  END LOOP;
END $$`;

const options: ChainOptions = chainOptions.parse({
  url: 'env:EVIDENCE',
  table: 'evidence',
  order: 'seq',
  contiguous: true,
  previous: 'previous',
  hash: 'hash',
  at: 'at',
  over: [{ previous: true }, { text: '|' }, { column: 'seq' }, { text: '|' }, { column: 'body' }],
  operation: { column: 'op' },
  append: { columns: { op: '{operation}' } },
});

export async function measureEvidence(count: number, rounds: number): Promise<EvidenceMeasured> {
  const server = await startServer();
  try {
    for (const sql of [TABLE, fill(count), 'VACUUM ANALYZE evidence']) await queryAt(server.url, sql);
    let rss = 0;
    const watch = setInterval(() => {
      rss = Math.max(rss, process.memoryUsage().rss);
    }, 20);
    const survey = async (): Promise<number> => {
      const started = performance.now();
      const { entries, broken } = await postgres.survey({
        name: 'trail',
        environment: 'bench',
        options,
        folder: '/',
        operationId: 'bench/survey/1',
        attempt: 1,
        signal: new AbortController().signal,
        heartbeat: () => undefined,
        secret: () => Promise.resolve(server.url),
      });
      if (entries !== count || broken !== 0) throw new Error(`${entries} entries, ${broken} breaks`);
      return count / ((performance.now() - started) / 1_000);
    };
    // Measured before the texts of the bare loop fill the memory.
    const measured = [await survey()];
    const rssMb = rss / 2 ** 20;
    clearInterval(watch);
    const texts: string[] = [];
    let head = '';
    for (let n = 1; n <= count; n += 1) {
      texts.push(`${head}|${n}|${bodyOf(n)}`);
      head = hash('sha256', texts.at(-1) ?? '', 'hex');
    }
    const bare = (): number => {
      const started = performance.now();
      let last = '';
      for (const text of texts) last = hash('sha256', text, 'hex');
      if (last !== head) throw new Error('the same bytes have another hash');
      return count / ((performance.now() - started) / 1_000);
    };
    const bares = [bare()];
    for (let round = 1; round < rounds; round += 1) {
      measured.push(await survey());
      bares.push(bare());
    }
    return { entries: count, survey: measured, bare: bares, rssMb };
  } finally {
    await server.stop();
  }
}

if (import.meta.main) {
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  const { entries, survey, bare, rssMb } = await measureEvidence(Number(process.argv[2] ?? 1_000_000), Number(process.env['ROUNDS'] ?? 5));
  const thousands = (values: readonly number[]): string => values.map((one) => (one / 1_000).toFixed(0)).join(' ');
  const rate = median(survey);
  const ratio = median(bare.map((one, round) => one / (survey[round] ?? Number.NaN)));
  process.stdout.write(
    `${rate >= 100_000 ? 'met   ' : 'MISSED'}  ${entries} evidence entries verified: ${(rate / 1_000).toFixed(0)} thousand/s (${thousands(survey)}), bar >= 100; ` +
      `the bare SHA-256 loop is ${ratio.toFixed(1)}x as fast (${thousands(bare)}); at most ${rssMb.toFixed(0)} MB\n`,
  );
}
