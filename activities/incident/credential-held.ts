/** Where a credential is read: what is there now, whether that works, and what the new one is put in the place of. */
import { AdapterError } from '../adapters/adapter.ts';
import { discarded, runCommand } from '../command.ts';
import { finalType } from '../found.ts';
import type { FailureType } from '../../model/failure.ts';
import { keepEarlier } from './credential-earlier.ts';
import { placeOf, type OnCredential } from './credential-scene.ts';
import type { CredentialAt } from './places.ts';

const PROVE_SECONDS = 60;

export async function holdsEverywhere(at: CredentialAt, secret: string): Promise<boolean> {
  const held = await Promise.all(at.holders.map(({ holder, call }) => holder.read(call)));
  return held.every((one) => one === secret);
}

/** Null: what runs works with it. Its output may hold secrets, and is kept nowhere. */
export async function proven({ at, loaded, work, name, attempt }: OnCredential): Promise<string | null> {
  const { prove } = at.config;
  if (!prove) return null;
  const env = { BACKOUT_ENVIRONMENT: work.environment, BACKOUT_CREDENTIAL: name };
  const { code, exit } = await runCommand(
    { command: prove.command, cwd: loaded.folder, seconds: prove.timeoutSeconds ?? PROVE_SECONDS, env, output: discarded() },
    attempt.signal,
  );
  return code === 0 ? null : `${prove.command.join(' ')} ended with ${exit}`;
}

/** What could not be written; null: all of it was. Trouble that passes is the next attempt's. */
export async function written(on: OnCredential, secret: string): Promise<{ type: FailureType; message: string } | null> {
  await keepEarlier(on, secret);
  for (const { holder, call } of on.at.holders) {
    try {
      await holder.write(call, secret);
    } catch (error) {
      const type = error instanceof AdapterError ? finalType(error) : null;
      if (!(error instanceof AdapterError) || (type === null && error.kind !== 'unknown')) throw error;
      return { type: type ?? 'ResultUnknown', message: error.message };
    }
  }
  return null;
}

/** What runs has now, asked of what accepts it: `works` null where nobody can tell. What was planned to be in place is no proof that it is. */
export interface Standing {
  readonly works: boolean | null;
  readonly words: string;
}

export async function standing({ at, attempt }: OnCredential): Promise<Standing> {
  if (at.holders.length === 0) return { works: null, words: 'nothing says where it is read' };
  const dead: string[] = [];
  try {
    for (const [index, one] of at.holders.entries()) {
      const secret = await one.holder.read(one.call);
      if (secret === null) dead.push(`${placeOf(one, index)} holds nothing`);
      else if (!(await at.authority.accepts(at.call, secret))) dead.push(`what ${placeOf(one, index)} holds is not accepted`);
    }
  } catch (error) {
    if (!(error instanceof AdapterError) || attempt.signal.aborted) throw error;
    return { works: null, words: `whether what is held works is not known: ${error.message}` };
  }
  return dead.length === 0 ? { works: true, words: 'what is held is accepted' } : { works: false, words: `${dead.join(', and ')}: nothing works there now` };
}
