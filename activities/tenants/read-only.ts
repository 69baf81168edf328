/** What the platforms share on which Backout only looks: calls that can be no others, the token of one tenant, and no authority to act. */
import { z } from 'zod';
import type { Artifact } from '../../model/tenant.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { createHttp, type Http, type HttpOptions } from '../adapters/http.ts';
import type { PlatformCall, Sighting, TenantPlatform } from './platform.ts';

/** A token goes there: encrypted, or no further than this machine. A query or a user in it would end up in messages. */
export const addressSchema = z
  .url()
  .refine((url) => /^https:|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$)/.test(url), 'https, since a secret goes there; http only to this machine')
  .refine((url) => !/[?#@]/.test(url), 'without user, query and fragment');

export const referenceSchema = z.string().regex(/^(env:[A-Za-z_]\w*|file:.+)$/, '`env:NAME` or `file:PATH`');

/** One secret for each tenant. `env:{tenant}` alone would let the name of a tenant be the name of any variable that the worker has. */
export const tenantReferenceSchema = z
  .string()
  .regex(/^(env:[A-Za-z_]\w*\{tenant\}\w*|file:.*\{tenant\}.*)$/, '`env:NAME_{tenant}` or `file:PATH` with {tenant} in it: each tenant has a token of its own');

/** No slash, no `..`, nothing hidden: what is put into a path stays the name of one file. */
const PLAIN_NAME = /^[A-Za-z0-9](?:[\w-]|\.(?!\.)){0,99}$/;

/** The tenant's own secret; null where there is none, which is how it should be after the cleanup of credentials. */
export async function tenantSecret<Options>(call: PlatformCall<Options>, platform: string, reference: string): Promise<string | null> {
  if (!PLAIN_NAME.test(call.tenant))
    throw new AdapterError('configuration', `[${platform}] the name of this tenant is not put into ${reference}; letters, digits, . - _ are`);
  try {
    const secret = (await call.secret(reference.replaceAll('{tenant}', () => call.tenant))).trim();
    return secret === '' ? null : secret;
  } catch (error) {
    if (error instanceof AdapterError && error.kind === 'configuration') return null;
    throw error;
  }
}

/** A secret of the house, which must be there. */
export async function houseSecret<Options>(call: PlatformCall<Options>, platform: string, reference: string): Promise<string> {
  const secret = (await call.secret(reference)).trim();
  if (secret === '') throw new AdapterError('configuration', `[${platform}] ${reference} is empty; put the secret there`);
  return secret;
}

/** A client that refuses, before anything is sent, whatever is not among `allowed`: patterns of the method and the path, `GET /things/7`. */
export function createLimitedHttp(options: HttpOptions, allowed: readonly RegExp[]): Http {
  const http = createHttp(options);
  return {
    ...http,
    request: (request) =>
      allowed.some((pattern) => pattern.test(`${request.method} ${request.path}`))
        ? http.request(request)
        : Promise.reject(http.error('protected', request.action, `a ${request.method} there is not among the calls that may be made`, { acted: 'no' })),
  };
}

export const cannotTell = (detail: string): Sighting => ({ presence: 'unknown', guarded: null, detail, facts: {} });

export function assertServed(platform: Pick<TenantPlatform, 'name' | 'types'>, { type, id }: Artifact): void {
  if (!platform.types.includes(type))
    throw new AdapterError('configuration', `[${platform.name}] ${type} ${id}: only ${platform.types.join(', ')} can be here`);
}

/** `apply` where there is no authority [000 Scope: what cannot be rolled back]. */
export const refuseToAct =
  (platform: string, whose: string): TenantPlatform['apply'] =>
  ({ artifact: { type, id } }) =>
    Promise.reject(new AdapterError('configuration', `[${platform}] ${type} ${id}: Backout has no authority here, ${whose}`));
