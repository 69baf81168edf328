/**
 * A Google with the token endpoint (RFC 6749) and the calendars of one account, as a process of its own:
 * `node test/fakes/google.ts --port 0 --ledger FILE` prints `{"url":…}`. Both of Google's addresses are this one.
 *
 *   POST /_control   settings (State), and: faults: a queue · reset: true
 *   GET  /_ledger    whatever was changed, and each look at an event · GET /_state all that is there · GET /_requests what was asked
 */
import { note, serve, type Answer, type Asked, type ServerControl } from './github-server.ts';

export interface State {
  clientId: string;
  clientSecret: string;
  /** What a refresh token is good for; one that is not here was never given. `rapt`: its owner must log in anew. */
  tokens: Record<string, 'valid' | 'revoked' | 'rapt'>;
  /** What every refresh gives. */
  accessToken: string;
  /** Of another error than Google's usual ones. */
  tokenError: string | null;
  calendars: string[];
  /** May the access look at calendars? */
  scoped: boolean;
}
export type Control = Partial<State> & ServerControl;
export interface LedgerEntry {
  readonly event: 'revoked' | 'changed' | 'events';
}

const refused = (status: number, error: string, description: string, more: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  body: { error, error_description: description, ...more },
});
/** As the Calendar API words its refusals. */
const refusal = (code: number, reason: string, message: string): Answer => ({
  status: code,
  body: { error: { errors: [{ domain: 'global', reason, message }], code, message } },
});

function token(state: State, { headers, text }: Asked): Answer {
  if (headers['content-type']?.startsWith('application/x-www-form-urlencoded') !== true) return refused(400, 'invalid_request', 'Missing grant type');
  const form = new URLSearchParams(text);
  if (form.get('grant_type') !== 'refresh_token') return refused(400, 'unsupported_grant_type', 'Invalid grant_type');
  if (state.tokenError !== null) return refused(400, state.tokenError, `no: ${text}`);
  if (form.get('client_id') !== state.clientId) return refused(401, 'invalid_client', 'The OAuth client was not found.');
  if (form.get('client_secret') !== state.clientSecret) return refused(401, 'invalid_client', 'Unauthorized');
  const good = state.tokens[form.get('refresh_token') ?? ''];
  if (good === 'revoked') return refused(400, 'invalid_grant', 'Token has been expired or revoked.');
  if (good === 'rapt') return refused(400, 'invalid_grant', 'reauth related error (invalid_rapt)', { error_subtype: 'invalid_rapt' });
  if (good === undefined) return refused(400, 'invalid_grant', 'Bad Request');
  const scope = 'https://www.googleapis.com/auth/calendar';
  return { status: 200, body: { access_token: state.accessToken, expires_in: 3599, scope, token_type: 'Bearer' } };
}

function calendars(state: State, { method, path, headers }: Asked, ledger: string): Answer {
  const [, id, events] = /^\/calendar\/v3\/calendars\/(.+?)(\/events.*)?$/s.exec(path) ?? [];
  if (id === undefined) return refusal(404, 'notFound', 'Not Found');
  if (headers.authorization !== `Bearer ${state.accessToken}`) return refusal(401, 'authError', 'Invalid Credentials');
  if (!state.scoped) return refusal(403, 'insufficientPermissions', 'Request had insufficient authentication scopes.');
  if (method !== 'GET' || events !== undefined) note(ledger, { event: method === 'GET' ? 'events' : 'changed' });
  if (!state.calendars.includes(id)) return refusal(404, 'notFound', 'Not Found');
  return { status: 200, body: { kind: 'calendar#calendar', etag: '"1"', id, summary: 'Dr. Client: patients', timeZone: 'Europe/Madrid' } };
}

function api(state: State, asked: Asked, ledger: string): Answer {
  if (asked.method === 'POST' && asked.path === '/token') return token(state, asked);
  if (asked.method === 'POST' && asked.path === '/revoke') {
    state.tokens[new URLSearchParams(asked.text).get('token') ?? ''] = 'revoked';
    note(ledger, { event: 'revoked' });
    return { status: 200, body: {} };
  }
  return calendars(state, asked, ledger);
}

await serve<Control>((_, ledger) => {
  const state: State = { clientId: 'client', clientSecret: 'secret', tokens: {}, accessToken: 'ya29.fake', tokenError: null, calendars: [], scoped: true };
  return {
    api: (asked) => api(state, asked, ledger),
    control: ({ faults: _, calm: __, reset: ___, ...settings }) => {
      Object.assign(state, settings);
    },
    state: () => state,
  };
});
