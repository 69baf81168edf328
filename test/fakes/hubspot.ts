/**
 * A HubSpot that knows refresh tokens, as a process of its own: `node test/fakes/hubspot.ts --port 0 --ledger FILE` prints `{"url":…}`.
 * It is as careless with them as the real one: they are in the address, in the answer, and here even in the refusal.
 *
 *   POST /_control   settings (State), and: faults: a queue · reset: true
 *   GET  /_ledger    every token that was revoked over the API · GET /_state all that is there · GET /_requests what was asked
 */
import { note, serve, type Answer, type Asked, type ServerControl } from './github-server.ts';

export interface State {
  /** Token to the account that it is for. */
  tokens: Record<string, { readonly hubId: number; readonly appId?: number }>;
}
export type Control = Partial<State> & ServerControl;
export interface LedgerEntry {
  readonly event: 'revoked';
}

const CORRELATION = 'aeb5f871-7f07-4993-9211-075dc63e7cbf';
const refusal = (status: number, message: string): Answer => ({ status, body: { status: 'error', message, correlationId: CORRELATION } });

function api(state: State, { method, path }: Asked, ledger: string): Answer {
  const token = /^\/oauth\/v1\/refresh-tokens\/(.+)$/s.exec(path)?.[1];
  if (token === undefined) return refusal(404, 'resource not found');
  const known = state.tokens[token];
  if (method === 'DELETE') {
    delete state.tokens[token];
    note(ledger, { event: 'revoked' });
    return { status: 204 };
  }
  if (method !== 'GET') return refusal(405, 'method not allowed');
  if (known === undefined) return refusal(404, `missing or unknown refresh token: ${token}`);
  const { hubId, appId } = known;
  const app = appId === undefined ? {} : { app_id: appId };
  const person = { user: 'person@client.example', user_id: 4711, hub_domain: 'client.example' };
  return {
    status: 200,
    body: { token, client_id: 'app', hub_id: hubId, ...app, ...person, scopes: ['oauth', 'crm.objects.contacts.write'], token_type: 'refresh' },
  };
}

await serve<Control>((_, ledger) => {
  const state: State = { tokens: {} };
  return {
    api: (asked) => api(state, asked, ledger),
    control: ({ faults: _, calm: __, reset: ___, ...settings }) => {
      Object.assign(state, settings);
    },
    state: () => state,
  };
});
