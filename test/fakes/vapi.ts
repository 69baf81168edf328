/**
 * A VAPI with assistants, phone numbers, squads and calls, as a process of its own: `node test/fakes/vapi.ts --port 0 --ledger FILE`
 * prints `{"url":…}`. It takes writes as the real one does, by the same key, so that a test can see that none came.
 *
 *   POST /_control   settings (State), and: faults: a queue · reset: true
 *   GET  /_ledger    every write that took effect · GET /_state all that is there · GET /_requests what was asked
 */
import { note, parsed, serve, type Answer, type Asked, type ServerControl } from './github-server.ts';

interface Item {
  readonly id: string;
  readonly createdAt: string;
}
export interface Assistant extends Item {
  readonly name?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}
export interface PhoneNumber extends Item {
  readonly number?: string;
  readonly sipUri?: string;
  readonly assistantId?: string | null;
  readonly squadId?: string | null;
}
export interface State {
  key: string;
  assistants: Assistant[];
  numbers: PhoneNumber[];
  squads: (Item & { readonly members: readonly { readonly assistantId?: string }[] })[];
  calls: (Item & { readonly assistantId: string })[];
}
export type Control = Partial<State> & ServerControl;
export interface LedgerEntry {
  readonly event: 'write';
  readonly what: string;
}

const refusal = (status: number, error: string, message: string | string[]): Answer => ({ status, body: { message, error, statusCode: status } });
const NOT_FOUND = refusal(404, 'Not Found', 'Not Found');
const LIMIT_MAX = 1000;

/** Newest first, as many as asked for. */
function listed(items: readonly Item[], query: URLSearchParams): Answer {
  const limit = Number(query.get('limit') ?? 100);
  if (!(limit >= 0 && limit <= LIMIT_MAX)) return refusal(400, 'Bad Request', [`limit must not be greater than ${LIMIT_MAX}`]);
  const [after, until] = [query.get('createdAtGt'), query.get('createdAtLe')];
  const found = items
    .filter(({ createdAt }) => (after === null || createdAt > after) && (until === null || createdAt <= until))
    .toSorted((one, other) => other.createdAt.localeCompare(one.createdAt));
  return { status: 200, body: found.slice(0, limit) };
}

function lists(state: State, { path, query }: Asked): Answer | null {
  const assistantId = query.get('assistantId');
  switch (path) {
    case '/assistant':
      return listed(state.assistants, query);
    case '/phone-number':
      return listed(state.numbers, query);
    case '/squad':
      return listed(state.squads, query);
    case '/call':
      return listed(
        state.calls.filter((call) => assistantId === null || call.assistantId === assistantId),
        query,
      );
    default:
      return null;
  }
}

/** By the same key, without another word: nothing at VAPI keeps a reader from writing. */
function write(state: State, { method, path, text }: Asked): Answer {
  const [, kind, id] = /^\/(assistant|phone-number)\/([\w-]+)$/.exec(path) ?? [];
  const items: Item[] = kind === 'assistant' ? state.assistants : state.numbers;
  const index = items.findIndex((one) => one.id === id);
  const item = items[index];
  if (item === undefined) return NOT_FOUND;
  if (method === 'DELETE') items.splice(index, 1);
  else if (method === 'PATCH') items[index] = { ...item, ...parsed(text) };
  else return NOT_FOUND;
  return { status: 200, body: item };
}

function api(state: State, asked: Asked, ledger: string): Answer {
  if (asked.headers.authorization !== `Bearer ${state.key}`)
    return refusal(401, 'Unauthorized', 'Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa.');
  if (asked.method !== 'GET') {
    const answer = write(state, asked);
    if (answer.status < 300) note(ledger, { event: 'write', what: `${asked.method} ${asked.path}` });
    return answer;
  }
  const id = /^\/assistant\/([\w-]+)$/.exec(asked.path)?.[1];
  if (id === undefined) return lists(state, asked) ?? NOT_FOUND;
  const assistant = state.assistants.find((one) => one.id === id);
  return assistant === undefined ? refusal(404, 'Not Found', `Couldn't Find Assistant. ${id} Does Not Exist.`) : { status: 200, body: assistant };
}

await serve<Control>((_, ledger) => {
  const state: State = { key: 'fake-key', assistants: [], numbers: [], squads: [], calls: [] };
  return {
    api: (asked) => api(state, asked, ledger),
    control: ({ faults: _, calm: __, reset: ___, ...settings }) => {
      Object.assign(state, settings);
    },
    state: () => state,
  };
});
