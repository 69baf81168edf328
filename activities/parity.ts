/** Parity of critical endpoints [001 step 3a]: what runs says of them what the target's own document says, and then does it. It reads; it changes nothing. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { failure } from '../model/failure.ts';
import { settle, type Checked } from './checks.ts';
import { askDocument, difference, digestOf, documentFrom, operationOf, type OpenApiDocument } from './openapi.ts';
import { probe, type Look } from './parity-probe.ts';

export { digestOf, readDocument } from './openapi.ts';

export interface ParityConfig {
  /** Where the running component serves its document. */
  readonly url: string;
  /** The target's own document, relative to the folder; `{version}` stands for the target. Without it, the one that was recorded. */
  readonly document?: string | undefined;
  /** `GET /products/{id}`, as the document writes it. */
  readonly critical: readonly string[];
  /** For each request. */
  readonly timeoutSeconds?: number | undefined;
  /** False: documents are compared, and nothing is called. */
  readonly probe?: boolean | undefined;
}

export interface ParityContext {
  readonly folder: string;
  /** The target. */
  readonly version: string;
  /** What was kept when this version was verified: the document, or what `digestOf` said of it. Null where there is nothing. */
  readonly recorded: unknown;
  readonly settleSeconds: number;
  readonly signal: AbortSignal;
}

/** In the receipt, one an operation. `inconclusive`: nothing speaks against it, and not everything could be looked at. */
export interface OperationParity {
  readonly operation: string;
  readonly verdict: 'passed' | 'failed' | 'inconclusive';
  /** Its document and its behaviour, each in a few words. */
  readonly document: string;
  readonly behaviour: string;
}

const PROBE_SECONDS = 5;
const FILE_MAX = 5 * 1024 * 1024;
/** Calls at the same time: what was just put back should not be the target of a load test. */
const AT_ONCE = 4;

export async function checkParity(config: ParityConfig, context: ParityContext): Promise<Checked> {
  const known = await ofTarget(config, context);
  if ('problem' in known) return { state: 'failed', receipt: {}, failure: failure('Configuration', known.problem) };
  const { ok, value } = await settle(context.settleSeconds, context.signal, async () => {
    const value = await lookAtAll(known, config, context.signal);
    return { ok: value.problem === null && value.operations.every(({ verdict }) => verdict !== 'failed'), value };
  });
  const receipt = { after: { url: config.url, against: known.from, operations: value.operations } };
  const settled = context.settleSeconds >= 1 ? ` after ${context.settleSeconds} s` : '';
  if (value.problem !== null)
    return { state: 'failed', receipt, failure: failure('ParityDiffers', `the document at ${config.url} cannot be read${settled}: ${value.problem}`) };
  const said = (verdict: OperationParity['verdict']): string =>
    value.operations
      .filter((one) => one.verdict === verdict)
      .map((one) => `${one.operation}: ${one.document}; ${one.behaviour}`)
      .join(' · ');
  if (!ok) return { state: 'failed', receipt, failure: failure('ParityDiffers', `not as ${context.version} documents it${settled}: ${said('failed')}`) };
  const open = said('inconclusive');
  return {
    // Without a document of the target, behaviour as documented says nothing about the version.
    state: known.document === null && known.digests === null ? 'skipped' : 'done',
    receipt,
    failure: null,
    ...(open === '' ? {} : { warning: `parity could not be shown in full [001 step 3a]: ${open}` }),
  };
}

/** What is known of the target: its document, or the digests of its operations, or neither. */
interface Known {
  readonly document: OpenApiDocument | null;
  readonly digests: Readonly<Record<string, string | null>> | null;
  readonly from: string | null;
}

const digestsSchema = z.record(z.string(), z.string().startsWith('sha256:').nullable());

/** A file that is not there gives way to what was recorded: both are the target's own. */
async function ofTarget({ document: path }: ParityConfig, { folder, version, recorded }: ParityContext): Promise<Known | { problem: string }> {
  const from = `what was recorded of ${version}`;
  const digests = digestsSchema.safeParse(recorded);
  const { document, problem } = documentFrom(JSON.stringify(recorded ?? null));
  const kept: Known = digests.success ? { document: null, digests: digests.data, from } : { document, digests: null, from: document && from };
  const isKept = kept.from !== null;
  if (path === undefined) return isKept || recorded === null || recorded === undefined ? kept : { problem: `${from} cannot be used: ${problem}` };
  // The version comes from outside: it names a file below the folder that the configuration names, and none above.
  if (path.includes('{version}') && /(^|[\\/])\.\.?([\\/]|$)|^[\\/]|\0/.test(version))
    return { problem: `${JSON.stringify(version)} cannot be part of the path ${path}` };
  const file = resolve(folder, path.replaceAll('{version}', version));
  const read = await textOf(file);
  if (read.text === null) return isKept ? kept : { problem: `the target's OpenAPI document ${file} cannot be read: ${read.problem}` };
  const written = documentFrom(read.text);
  return written.document
    ? { document: written.document, digests: null, from: file }
    : { problem: `the target's OpenAPI document ${file} cannot be used: ${written.problem}` };
}

async function textOf(file: string): Promise<{ text: string | null; problem: string | null }> {
  try {
    if ((await stat(file)).size > FILE_MAX) return { text: null, problem: `it is larger than ${FILE_MAX} bytes` };
    return { text: await readFile(file, 'utf8'), problem: null };
  } catch (error) {
    return { text: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

interface Seen {
  readonly problem: string | null;
  readonly operations: readonly OperationParity[];
}

async function lookAtAll(known: Known, config: ParityConfig, signal: AbortSignal): Promise<Seen> {
  const seconds = config.timeoutSeconds ?? PROBE_SECONDS;
  const { document: served, problem } = await askDocument(config.url, signal, seconds);
  if (!served) return { problem, operations: [] };
  const look = async (operation: string): Promise<OperationParity> => {
    const document = compare(operation, known, served);
    const behaviour: Look =
      config.probe === false
        ? { passed: null, detail: 'not probed, as configured' }
        : await probe(operation, known.document ?? served, config.url, seconds, signal);
    const both = [document.passed, behaviour.passed];
    const verdict = both.includes(false) ? 'failed' : both.includes(null) ? 'inconclusive' : 'passed';
    return { operation, verdict, document: document.detail, behaviour: behaviour.detail };
  };
  const operations: OperationParity[] = [];
  for (let at = 0; at < config.critical.length; at += AT_ONCE)
    operations.push(...(await Promise.all(config.critical.slice(at, at + AT_ONCE).map((operation) => look(operation)))));
  return { problem: null, operations };
}

function compare(operation: string, { document, digests }: Known, served: OpenApiDocument): Look {
  if (operationOf(served, operation) === null) return { passed: false, detail: 'not in the document served' };
  const missing = document ? operationOf(document, operation) === null : digests !== null && digests[operation] === null;
  if (missing) return { passed: false, detail: "not in the target's document" };
  try {
    const then = digests?.[operation];
    if (document) return same(difference(document, served, operation));
    if (typeof then === 'string')
      return same(
        digestOf(served, [operation])[operation] === then ? null : "documented otherwise than in the target's document, of which only a digest was kept",
      );
    return { passed: null, detail: "no document of the target's to compare with" };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { passed: null, detail: 'nested too deeply to be compared' };
  }
}

const same = (differs: string | null): Look => ({ passed: differs === null, detail: differs ?? 'documented the same' });
