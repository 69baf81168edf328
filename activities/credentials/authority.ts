/**
 * The ports of credentials [001 step 3e, 004 section 5.2]: who issues and revokes them, and where what runs reads them. One file per platform, one line in
 * `registry.ts`, one contract test each; each sentence here is a rule of those tests. They throw an AdapterError and nothing else. A secret leaves an
 * authority only towards a holder, and is in nothing else that is returned or thrown.
 */
import type { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import type { AdapterCall, Fence } from '../adapters/adapter.ts';

export interface CredentialCall<Options> extends Pick<
  AdapterCall<Options>,
  'environment' | 'options' | 'folder' | 'operationId' | 'attempt' | 'signal' | 'heartbeat' | 'secret'
> {
  /** The credential, as `backout.yaml` names it. */
  readonly credential: string;
}

/** One generation of a credential, as its authority knows it; no secret in it. */
export interface Generation {
  /** The authority's own name for it. */
  readonly id: string;
  readonly state: 'live' | 'revoked';
  readonly scopes: readonly string[];
  /** Tenants it is good for; null: all, or the authority does not say. */
  readonly tenants: readonly string[] | null;
  readonly issuedAt: string | null;
  /** When and by whom it was last used; null: never, or the authority does not tell. */
  readonly lastUsedAt: string | null;
  readonly lastUsedBy: string | null;
  /** The operation that had it issued, where the authority keeps that: tells `already` after a crash. */
  readonly operationId: string | null;
}

/** What a generation is to be allowed: least privilege. */
export interface Grant {
  readonly scopes: readonly string[];
  readonly tenants: readonly string[] | null;
}

export interface CredentialAuthority<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly fence: Fence;
  readonly limits: readonly string[];
  /** Does it tell when a generation was last used? */
  readonly tellsUse: boolean;
  /** Newest first. Changes nothing. */
  generations(call: CredentialCall<Options>): Promise<readonly Generation[]>;
  /**
   * A new generation under this operation, with no more than is granted. One of this operation that is there is found again, and no second one is issued; where the
   * answer of an earlier attempt was lost with its secret, that orphan is revoked and told in the receipt, and another one is issued. The secret is kept by the worker,
   * readable by it alone and written through to the disk, before this resolves. The receipt has `ids.generation`.
   */
  issue(call: CredentialCall<Options>, grant: Grant): Promise<Receipt>;
  /**
   * The live generation whose secret this is, as a holder has it: from now on the worker keeps it until it is revoked, so that it can be put back, and its end
   * be proven by what accepts it. Null: none that it knows, or an authority that cannot tell; nothing is kept then.
   */
  adopt(call: CredentialCall<Options>, secret: string): Promise<string | null>;
  /** The secret of a generation that this worker keeps or can read; throws `not-found` where it has none. */
  reveal(call: CredentialCall<Options>, id: string): Promise<string>;
  /** Is this secret accepted right now? Asked of what accepts it, never of the authority's own books. */
  accepts(call: CredentialCall<Options>, secret: string): Promise<boolean>;
  /**
   * Ends a generation and proves that it is not accepted any more, then forgets its secret. One that is revoked already is left as it is: the receipt says
   * `already: true`. The last live one is never revoked unless `last` allows it: throws `protected`, looked at in the very moment of the revocation.
   */
  revoke(call: CredentialCall<Options>, id: string, last: boolean): Promise<Receipt>;
  /** The same by hand: a link, a command, one line each; no secret in it. Without `wanted` all that can be done, the choice left open. */
  manual(call: Pick<CredentialCall<Options>, 'environment' | 'credential' | 'options' | 'folder'>, wanted?: ByHand): string[];
}

/** What a person is to do by hand. */
export interface ByHand {
  readonly issue?: Grant;
  readonly revoke?: readonly string[];
  /** Puts the secret of a generation where what runs reads it. */
  readonly install?: { readonly generation: string; readonly held: readonly { readonly holder: string; readonly options: unknown }[] };
}

export interface CredentialHolder<Options = unknown> {
  /** As users write it in `backout.yaml`. */
  readonly name: string;
  /** Strict: an unknown option is an error that names its place. */
  readonly options: z.ZodType<Options>;
  readonly limits: readonly string[];
  /** What it holds now; null: nothing. For comparing only. */
  read(call: CredentialCall<Options>): Promise<string | null>;
  /** Where that is, so that nothing else sets it back: the file, fully resolved, and the key in it; null: in no file. */
  place(call: Pick<CredentialCall<Options>, 'options' | 'folder'>): { readonly path: string; readonly key: string } | null;
  /** Does a write have what runs read it at once? Where not, the old one may be in use until whoever reads it is started anew. */
  reloads(call: Pick<CredentialCall<Options>, 'options'>): boolean;
  /** Puts the secret there and has what runs read it. A holder that has it already is reloaded only where an earlier reload is due. A write that somebody else made meanwhile is a `conflict`. */
  write(call: CredentialCall<Options>, secret: string): Promise<Receipt>;
}
