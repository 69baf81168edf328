/**
 * HubSpot: whether the tenant's refresh token still works, by its metadata, and nothing else. Uninstalling the app and removing the token
 * is the operator's [000 Rollback Scope]; records in the client's CRM are outside of everything here.
 * https://developers.hubspot.com/docs/api-reference/legacy/authentication/oauth-tokens/v1/get-refresh-token-metadata, checked November 2026.
 *
 * HubSpot closes this address on 16 February 2027 (https://developers.hubspot.com/changelog/v1-oauth-api-deprecation), in favour of a POST
 * with the secret of the app. A closed address answers 404, as a revoked token does, so from that day a 404 proves nothing.
 */
import { z } from 'zod';
import type { ArtifactType } from '../../model/tenant.ts';
import { beating, HttpError } from '../adapters/http.ts';
import type { ArtifactCall, Sighting, TenantPlatform } from './platform.ts';
import { addressSchema, assertServed, cannotTell, createLimitedHttp, refuseToAct, tenantReferenceSchema, tenantSecret } from './read-only.ts';

const NAME = 'hubspot';
const TYPES: readonly ArtifactType[] = ['crm'];
const ALLOWED = [/^GET \/oauth\/v1\/refresh-tokens\/(?!\.{1,2}$)[^/?#]+$/];
const CLOSED_FROM = Date.UTC(2027, 1, 16);

const optionsSchema = z.strictObject({
  url: addressSchema.default('https://api.hubapi.com'),
  refreshToken: tenantReferenceSchema.optional().describe('The refresh token of each tenant, e.g. file:./secrets/{tenant}.hubspot'),
});
type Options = z.infer<typeof optionsSchema>;

/** Of what HubSpot tells, only what is neither a secret nor a person: not the token, not the user. */
const metadataSchema = z.object({ hub_id: z.int(), app_id: z.int().optional() });
type Metadata = z.infer<typeof metadataSchema>;

/** Or `none`: HubSpot says itself that there is no such token. A web page is somebody else's word, that of a proxy or a wrong address. */
async function metadataOf(call: ArtifactCall<Options>, token: string): Promise<Metadata | 'none' | 'closed'> {
  const { artifact, options, signal } = call;
  // The token is in the address, so all that the client says is searched for it.
  const http = createLimitedHttp({ adapter: NAME, baseUrl: options.url, about: { account: artifact.id }, secrets: [token] }, ALLOWED);
  const action = 'look for the connection';
  try {
    return await http.request({ action, method: 'GET', path: `/oauth/v1/refresh-tokens/${encodeURIComponent(token)}`, answer: metadataSchema, signal });
  } catch (error) {
    if (!(error instanceof HttpError) || error.kind !== 'not-found') throw error;
    if (error.status === 410) return 'closed';
    if (error.reason.includes('HTML')) throw http.error('unexpected-response', action, `${error.reason}; is url right?`, { status: 404, acted: 'no' });
    return Date.now() < CLOSED_FROM ? 'none' : 'closed';
  }
}

function gone(account: string): Sighting {
  const detail = `HubSpot knows no such refresh token for the account ${account}: it was revoked, or the app was uninstalled.`;
  return { presence: 'absent', guarded: null, detail, facts: {} };
}

function connected({ hub_id: hubId, app_id: appId }: Metadata, account: string): Sighting {
  const other = String(hubId) !== account;
  return {
    presence: 'present',
    guarded: other ? `the tenant's token is for the account ${hubId}, which is another one` : null,
    detail: `The refresh token for ${other ? `another account, ${hubId} instead of ${account},` : `the account ${account}`} is valid.`,
    facts: { hubId, ...(appId === undefined ? {} : { appId }) },
  };
}

async function inspect(call: ArtifactCall<Options>): Promise<Sighting> {
  const { artifact, options } = call;
  assertServed({ name: NAME, types: TYPES }, artifact);
  const token = options.refreshToken === undefined ? null : await tenantSecret(call, NAME, options.refreshToken);
  if (token === null)
    return cannotTell(`There is no token to look with at the account ${artifact.id}; whether HubSpot is disconnected is for a person to see.`);
  const metadata = await beating(call, NAME, () => metadataOf(call, token));
  if (metadata === 'closed')
    return cannotTell(`HubSpot no longer tells of refresh tokens at this address; whether the account ${artifact.id} is disconnected is for a person to see.`);
  return metadata === 'none' ? gone(artifact.id) : connected(metadata, artifact.id);
}

export const hubspot: TenantPlatform<Options> = {
  name: NAME,
  types: TYPES,
  options: optionsSchema,
  limits: [
    'Backout cannot disconnect anything at HubSpot: a person uninstalls the app or revokes the token.',
    'HubSpot answers to a token that never was one as to a revoked one, so the file or the variable must hold the token that the tenant had.',
    'From 16 February 2027 on HubSpot closes the address that is asked; whether a connection is gone is then for a person to see.',
    'HubSpot takes the token in the address, where a proxy between may log it.',
  ],
  actions: {},
  inspect,
  marked: () => Promise.resolve([]),
  protected: () => Promise.resolve({}),
  apply: refuseToAct(NAME, 'a person uninstalls the app in HubSpot'),
  manual: ({ artifact: { id } }) => [
    `Uninstall the app in the account ${id}, under Settings, Integrations, Connected Apps: https://app.hubspot.com/connected-apps/${encodeURIComponent(id)}/installed`,
    'Then remove the refresh token from where the secrets of the tenant are kept.',
  ],
};
