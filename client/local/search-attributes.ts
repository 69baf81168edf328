/** Search attributes of a rollback (`product.md` 6), and how a server gets to know them. */
import type { Connection } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { LocalProblem, textOf } from './problem.ts';

/** Three of the three KeywordLists that a dev server has room for. */
export const SEARCH_ATTRIBUTES = {
  RollbackKind: 'Keyword',
  RollbackState: 'Keyword',
  RollbackEnvironment: 'Keyword',
  RollbackComponents: 'KeywordList',
  RollbackTenant: 'Keyword',
  RollbackWaitingFor: 'KeywordList',
  RollbackTrigger: 'Keyword',
  RollbackIncident: 'Keyword',
  RollbackTarget: 'KeywordList',
} as const;

/** `temporal.api.enums.v1.IndexedValueType`; @temporalio/proto is 5 MB of import for two numbers. */
const TYPE_NUMBERS = { Keyword: 2, KeywordList: 7 } as const;
const VISIBLE_WITHIN_MS = 15_000;
const ALREADY_EXISTS = 6;

/** Adds what is missing and returns its names; twice, or by two at once, is once. */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const missing = await missingFrom(connection, namespace);
  if (missing.length === 0) return [];
  const searchAttributes = Object.fromEntries(missing.map((name) => [name, TYPE_NUMBERS[SEARCH_ATTRIBUTES[name]]]));
  try {
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === ALREADY_EXISTS)) throw refused(namespace, missing, error);
  }
  // The server answers before its own caches know; a start that comes sooner would be refused.
  for (const until = Date.now() + VISIBLE_WITHIN_MS; (await missingFrom(connection, namespace)).length > 0;) {
    if (Date.now() > until) throw refused(namespace, missing, new Error('added, but the server does not list them'));
    await sleep(100);
  }
  return missing;
}

type Name = keyof typeof SEARCH_ATTRIBUTES;

async function missingFrom(connection: Connection, namespace: string): Promise<Name[]> {
  const names = Object.keys(SEARCH_ATTRIBUTES).filter((name): name is Name => name in SEARCH_ATTRIBUTES);
  let known: Record<string, unknown>;
  try {
    known = (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};
  } catch (error) {
    throw refused(namespace, names, error);
  }
  const wrong = names.filter((name) => known[name] !== undefined && known[name] !== TYPE_NUMBERS[SEARCH_ATTRIBUTES[name]]);
  if (wrong.length > 0) throw refused(namespace, wrong, new Error('they are there with another type'));
  return names.filter((name) => known[name] === undefined);
}

function refused(namespace: string, names: readonly Name[], cause: unknown): LocalProblem {
  const flags = names.map((name) => `--name ${name} --type ${SEARCH_ATTRIBUTES[name]}`).join(' ');
  return new LocalProblem(
    'search-attributes',
    `The search attributes ${names.join(', ')} could not be added to the namespace ${namespace}: ${textOf(cause)}.`,
    `Ask an administrator of that server to run: temporal operator search-attribute create --namespace ${namespace} ${flags}`,
    cause,
  );
}
