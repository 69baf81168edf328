/**
 * VAPI: a look, and nothing else [000: "The UPA does not have delete authority over VAPI resources"]. Its keys cannot be made read-only, so
 * the client here can send nothing but a GET. https://docs.vapi.ai/api-reference: Get Assistant, List Assistants, List Phone Numbers,
 * List Squads, List Calls (`limit` up to 1000, `createdAtGt`, `createdAtLe`); checked November 2026.
 */
import { z } from 'zod';
import type { Artifact, ArtifactType } from '../../model/tenant.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { beating, HttpError, type Http } from '../adapters/http.ts';
import type { ArtifactCall, PlatformCall, Sighting, TenantPlatform } from './platform.ts';
import { addressSchema, assertServed, cannotTell, createLimitedHttp, houseSecret, referenceSchema, refuseToAct } from './read-only.ts';

const NAME = 'vapi';
const TYPES: readonly ArtifactType[] = ['vapi-assistant'];
/** All that can leave this file. */
const ALLOWED = [/^GET \/assistant\/[\w-]+$/, /^GET \/(assistant|phone-number|squad|call)$/];
/** Where an assistant says whose it is: `metadata.tenant`. */
const MARK = 'tenant';
/** Assistants are large: each holds its prompts. */
const PAGE = 100;
const PAGES_MAX = 50;
const BODY_BYTES_MAX = 20 * 1024 * 1024;
const CALLS_WITHIN_MS = 24 * 60 * 60 * 1000;
const REMEDIES = {
  unauthorized: 'put a private key of the organization there, not a public one: dashboard, Organization, API Keys',
  'not-found': 'check url',
} as const;

const optionsSchema = z.strictObject({
  url: addressSchema.default('https://api.vapi.ai'),
  key: referenceSchema.optional().describe('A private key of VAPI; without it Backout cannot look'),
  dashboard: addressSchema.default('https://dashboard.vapi.ai'),
});
type Options = z.infer<typeof optionsSchema>;

const metadataSchema = z.record(z.string(), z.unknown()).nullish();
const assistantSchema = z.object({ id: z.string(), name: z.string().nullish(), metadata: metadataSchema, createdAt: z.string() });
type Assistant = z.infer<typeof assistantSchema>;
const numberSchema = z.object({
  id: z.string(),
  number: z.string().nullish(),
  sipUri: z.string().nullish(),
  assistantId: z.string().nullish(),
  squadId: z.string().nullish(),
  createdAt: z.string(),
});
type PhoneNumber = z.infer<typeof numberSchema>;
const squadSchema = z.object({ id: z.string(), members: z.array(z.object({ assistantId: z.string().nullish() })), createdAt: z.string() });
const callSchema = z.object({ id: z.string() });

interface Session {
  readonly http: Http;
  readonly signal: AbortSignal;
}

const read = <T>({ http, signal }: Session, action: string, path: string, answer: z.ZodType<T>, query: Record<string, string | number> = {}): Promise<T> =>
  http.request({ action, method: 'GET', path, query, answer, signal });

/** Every item of a list. VAPI pages by time of creation, newest first; two of one instant are told apart by their ids. */
async function* listed<T extends { readonly id: string; readonly createdAt: string }>(
  session: Session,
  action: string,
  path: string,
  item: z.ZodType<T>,
): AsyncGenerator<T> {
  const seen = new Set<string>();
  let until: Record<string, string> = {};
  for (let page = 1; page <= PAGES_MAX; page += 1) {
    const items = await read(session, action, path, z.array(item), { limit: PAGE, ...until });
    const fresh = items.filter(({ id }) => !seen.has(id));
    for (const { id } of fresh) seen.add(id);
    yield* fresh;
    if (items.length < PAGE) return;
    if (fresh.length === 0) break;
    until = { createdAtLe: items.map(({ createdAt }) => createdAt).toSorted()[0] ?? '' };
  }
  throw session.http.error('unexpected-response', action, `there are more than can be looked through (${seen.size} were)`);
}

async function gathered<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function assistantOf(session: Session, id: string): Promise<Assistant | null> {
  try {
    return await read(session, 'look for the assistant', `/assistant/${id}`, assistantSchema);
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 404) throw error;
    // A wrong address answers 404 as well; it has no list of assistants.
    await read(session, 'list assistants', '/assistant', z.array(z.unknown()), { limit: 1 });
    return null;
  }
}

/** The numbers that it answers, by itself or in a squad. */
async function numbersOf(session: Session, id: string): Promise<PhoneNumber[]> {
  const numbers = await gathered(listed(session, 'list phone numbers', '/phone-number', numberSchema));
  const ofSquads = numbers.some(({ squadId }) => typeof squadId === 'string');
  const squads = ofSquads ? await gathered(listed(session, 'list squads', '/squad', squadSchema)) : [];
  const its = new Set(squads.filter(({ members }) => members.some(({ assistantId }) => assistantId === id)).map((squad) => squad.id));
  return numbers.filter(({ assistantId, squadId }) => assistantId === id || (typeof squadId === 'string' && its.has(squadId)));
}

/** Somebody may call it without a number, over the web or the API. Only whether: the calls of clients are nobody's business here. */
const calledLately = async (session: Session, assistantId: string): Promise<boolean> => {
  const createdAtGt = new Date(Date.now() - CALLS_WITHIN_MS).toISOString();
  return (await read(session, 'look for calls', '/call', z.array(callSchema), { assistantId, createdAtGt, limit: 1 })).length > 0;
};

const nameOf = ({ id, number, sipUri }: PhoneNumber): string => number ?? sipUri ?? id;

function guardOf({ metadata }: Assistant, tenant: string): string | null {
  const mark = metadata?.[MARK];
  if (mark === undefined || mark === null || mark === tenant) return null;
  return typeof mark === 'string' ? `its metadata says that it is of the tenant ${mark}` : `its metadata names a tenant that cannot be read`;
}

async function look(session: Session, id: string, tenant: string): Promise<Sighting> {
  const assistant = await assistantOf(session, id);
  if (assistant === null) return { presence: 'absent', guarded: null, detail: `VAPI has no assistant ${id}.`, facts: {} };
  const guarded = guardOf(assistant, tenant);
  const numbers = await numbersOf(session, id);
  const label = `The assistant ${id}${typeof assistant.name === 'string' ? ` (${assistant.name})` : ''}`;
  if (numbers.length > 0) {
    // The numbers of another tenant are not for the people of this one.
    const named = guarded === null ? numbers.map(nameOf).toSorted().join(', ') : `${numbers.length} of another tenant`;
    return { presence: 'present', guarded, detail: `${label} answers the phone: ${named}.`, facts: { phoneNumbers: named } };
  }
  const called = await calledLately(session, id);
  const still = called ? ', and yet it had a call in the last 24 hours' : ' and had no call in the last 24 hours';
  return { presence: 'inactive', guarded, detail: `${label} is there, answers no phone number${still}.`, facts: { phoneNumbers: '', calledInLastDay: called } };
}

async function withVapi<T>(call: PlatformCall<Options>, about: Record<string, string>, reference: string, work: (session: Session) => Promise<T>): Promise<T> {
  const key = await houseSecret(call, NAME, reference);
  const headers = { authorization: `Bearer ${key}` };
  const { url } = call.options;
  const http = createLimitedHttp({ adapter: NAME, baseUrl: url, headers, about, secrets: [key], remedies: REMEDIES, bodyBytesMax: BODY_BYTES_MAX }, ALLOWED);
  return beating(call, NAME, () => work({ http, signal: call.signal }));
}

async function inspect(call: ArtifactCall<Options>): Promise<Sighting> {
  const { artifact, options, tenant } = call;
  assertServed({ name: NAME, types: TYPES }, artifact);
  if (options.key === undefined) return cannotTell(`Backout has no key of VAPI to look for the assistant ${artifact.id} with.`);
  if (!/^[\w-]+$/.test(artifact.id)) throw new AdapterError('configuration', `[${NAME}] the id of the assistant is none of VAPI's: letters, digits, - and _`);
  return withVapi(call, { assistant: artifact.id }, options.key, (session) => look(session, artifact.id, tenant));
}

async function marked(call: PlatformCall<Options>): Promise<Artifact[]> {
  const { options, tenant } = call;
  if (options.key === undefined) return [];
  const assistants = await withVapi(call, { tenant }, options.key, (session) => gathered(listed(session, 'list assistants', '/assistant', assistantSchema)));
  return assistants
    .filter(({ metadata }) => metadata?.[MARK] === tenant)
    .map(({ id, name }) => ({ type: 'vapi-assistant', id, ...(typeof name === 'string' ? { name } : {}) }));
}

export const vapi: TenantPlatform<Options> = {
  name: NAME,
  types: TYPES,
  options: optionsSchema,
  limits: [
    'Backout cannot change anything at VAPI: a person removes the assistant in the dashboard.',
    'Without a key it cannot look either, and with the key of another organization each assistant seems to be gone.',
    'An assistant without a phone number counts as inactive, though the web or the API may still call it; whether one did in the last 24 hours is told.',
    'A phone number that asks a server for its assistant at each call does not show which ones it uses.',
    'Whose an assistant is shows only where its metadata has `tenant`.',
  ],
  actions: {},
  inspect,
  marked,
  protected: () => Promise.resolve({}),
  apply: refuseToAct(NAME, 'a person removes assistants in the dashboard of VAPI'),
  manual: ({ artifact: { id }, options: { dashboard } }) => [
    `Delete the assistant, or take its phone numbers from it: ${dashboard.replace(/\/+$/, '')}/assistants/${encodeURIComponent(id)}`,
    `Its phone numbers: ${dashboard.replace(/\/+$/, '')}/phone-numbers`,
  ],
};
