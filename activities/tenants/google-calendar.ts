/**
 * Google Calendar: whether the tenant's refresh token still works, and nothing else. Revoking it is the operator's [000 Rollback Scope];
 * the events belong to the client and are never read here. https://developers.google.com/identity/protocols/oauth2/web-server (offline),
 * RFC 6749 sections 5.2 and 6, https://developers.google.com/workspace/calendar/api/v3/reference/calendars/get; checked November 2026.
 *
 * To ask is to be given an access token: it is used once, shown nowhere, and dropped. It must not be revoked, since that revokes the
 * refresh token as well.
 */
import { z } from 'zod';
import type { ArtifactType } from '../../model/tenant.ts';
import { beating, HttpError } from '../adapters/http.ts';
import type { ArtifactCall, Sighting, TenantPlatform } from './platform.ts';
import {
  addressSchema,
  assertServed,
  cannotTell,
  createLimitedHttp,
  houseSecret,
  referenceSchema,
  refuseToAct,
  tenantReferenceSchema,
  tenantSecret,
} from './read-only.ts';

const NAME = 'google-calendar';
const TYPES: readonly ArtifactType[] = ['calendar'];
const ALLOWED_FOR_TOKEN = [/^POST \/token$/];
const ALLOWED_FOR_CALENDAR = [/^GET \/calendar\/v3\/calendars\/(?!\.{1,2}$)[^/?#]+$/];
const REMEDIES = {
  unauthorized: 'check clientId and clientSecret: Google does not know this client, or the refresh token was given to another one',
} as const;

const optionsSchema = z
  .strictObject({
    url: addressSchema.default('https://oauth2.googleapis.com'),
    api: addressSchema.default('https://www.googleapis.com'),
    refreshToken: tenantReferenceSchema.optional().describe('The refresh token of each tenant, e.g. file:./secrets/{tenant}.google'),
    clientId: referenceSchema.optional(),
    clientSecret: referenceSchema.optional(),
  })
  .refine(({ refreshToken, clientId, clientSecret }) => refreshToken === undefined || (clientId !== undefined && clientSecret !== undefined), {
    path: ['clientId'],
    message: 'Google answers about a refresh token only to its client: name clientId and clientSecret, too',
  });
type Options = z.infer<typeof optionsSchema>;

interface Credentials {
  readonly refreshToken: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

const grantedSchema = z.object({ access_token: z.string().min(1) });
const refusedSchema = z.object({
  error: z.string().max(100),
  error_description: z.string().max(300).optional(),
  error_subtype: z.string().max(100).optional(),
});
type Refused = z.infer<typeof refusedSchema>;

/** Null: there is no token to look with. */
async function credentialsOf(call: ArtifactCall<Options>): Promise<Credentials | null> {
  const { refreshToken, clientId, clientSecret } = call.options;
  if (refreshToken === undefined || clientId === undefined || clientSecret === undefined) return null;
  const token = await tenantSecret(call, NAME, refreshToken);
  if (token === null) return null;
  return { refreshToken: token, clientId: await houseSecret(call, NAME, clientId), clientSecret: await houseSecret(call, NAME, clientSecret) };
}

/** The access token, or why there is none. */
async function refreshed(call: ArtifactCall<Options>, { refreshToken, clientId, clientSecret }: Credentials): Promise<string | Refused> {
  const secrets = [refreshToken, clientSecret];
  const http = createLimitedHttp(
    { adapter: NAME, baseUrl: call.options.url, about: { calendar: call.artifact.id }, secrets, remedies: REMEDIES },
    ALLOWED_FOR_TOKEN,
  );
  const action = 'look for the connection';
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId, client_secret: clientSecret });
  const answer = await http.request({
    action,
    method: 'POST',
    path: '/token',
    body,
    refusals: [400],
    answer: z.union([grantedSchema, refusedSchema]),
    signal: call.signal,
  });
  if ('access_token' in answer) return answer.access_token;
  if (answer.error === 'invalid_grant') return answer;
  const kind = answer.error === 'invalid_client' || answer.error === 'unauthorized_client' ? 'unauthorized' : 'unexpected-response';
  throw http.error(kind, action, `400: ${JSON.stringify(answer)}`, { status: 400, acted: 'no' });
}

/** Is the calendar to be seen with this access? Null: the access does not say. Of the calendar itself nothing is kept. */
async function reachable(call: ArtifactCall<Options>, { refreshToken, clientSecret }: Credentials, accessToken: string): Promise<boolean | null> {
  const { artifact, options, signal } = call;
  const http = createLimitedHttp(
    {
      adapter: NAME,
      baseUrl: options.api,
      about: { calendar: artifact.id },
      secrets: [accessToken, refreshToken, clientSecret],
      headers: { authorization: `Bearer ${accessToken}` },
    },
    ALLOWED_FOR_CALENDAR,
  );
  const path = `/calendar/v3/calendars/${encodeURIComponent(artifact.id)}`;
  try {
    await http.request({ action: 'look for the calendar', method: 'GET', path, answer: z.object({ id: z.string() }), signal });
    return true;
  } catch (error) {
    if (error instanceof HttpError && error.kind === 'not-found') return false;
    if (error instanceof HttpError && error.kind === 'unauthorized') return null;
    throw error;
  }
}

/**
 * `invalid_grant` has several meanings (RFC 6749 section 5.2). It proves that access is gone where Google says revoked, expired or deleted, or says
 * nothing more; not where it cannot read the token, or only wants the person to log in anew (`error_subtype`, e.g. `invalid_rapt`).
 */
function withoutAccess(id: string, { error_description: description, error_subtype: subtype }: Refused): Sighting {
  if (subtype !== undefined) return cannotTell(`Google wants a new login before it says more of the access to the calendar ${id}.`);
  if (description !== undefined && !/revoked|expired|deleted/i.test(description))
    return cannotTell(`Google does not accept the refresh token for the calendar ${id}, and does not say that it was revoked.`);
  return { presence: 'absent', guarded: null, detail: `Google says that the access to the calendar ${id} has expired or was revoked.`, facts: {} };
}

async function look(call: ArtifactCall<Options>, credentials: Credentials): Promise<Sighting> {
  const { id } = call.artifact;
  const answer = await refreshed(call, credentials);
  if (typeof answer !== 'string') return withoutAccess(id, answer);
  const calendarReachable = await reachable(call, credentials, answer);
  const seen = {
    true: `The refresh token is valid, and the calendar ${id} can be reached with it.`,
    false: `The refresh token is valid, though it does not reach the calendar ${id}: it was deleted, or the token is for another account.`,
    null: `The refresh token is valid; it may not look at the calendar ${id}.`,
  };
  return { presence: 'present', guarded: null, detail: seen[`${calendarReachable}`], facts: { calendarReachable } };
}

async function inspect(call: ArtifactCall<Options>): Promise<Sighting> {
  assertServed({ name: NAME, types: TYPES }, call.artifact);
  const credentials = await credentialsOf(call);
  if (credentials === null)
    return cannotTell(`There is no token to look with at the calendar ${call.artifact.id}; whether Google is disconnected is for a person to see.`);
  return beating(call, NAME, () => look(call, credentials));
}

export const googleCalendar: TenantPlatform<Options> = {
  name: NAME,
  types: TYPES,
  options: optionsSchema,
  limits: [
    'Backout cannot disconnect anything at Google: a person takes the access back.',
    'Each look is given an access token, which is used once and dropped, and is valid for up to an hour.',
    'Google may show for about a minute that a token is valid after it was revoked, and may refuse one for other reasons than a revocation.',
    'Google does not say whose token it is, so the file or the variable must hold the one of this tenant.',
  ],
  actions: {},
  inspect,
  marked: () => Promise.resolve([]),
  protected: () => Promise.resolve({}),
  apply: refuseToAct(NAME, 'a person takes the access back at Google'),
  manual: ({ artifact: { id } }) => [
    `The owner of the calendar ${id} takes the access of the app back: https://myaccount.google.com/connections`,
    'Then remove the refresh token from where the secrets of the tenant are kept.',
  ],
};
