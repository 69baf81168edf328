/**
 * What was there before the freeze, written down at GitHub before anything is changed, in a variable of the repository. An attempt that
 * is killed after its change and before its receipt would otherwise leave nobody who knows, two attempts at once would each take the
 * other's change for what was there, and the last of several incidents, which is the one that lifts, may have changed nothing itself.
 * Creating a variable is refused where there is one, so exactly one attempt writes it.
 */
import { z } from 'zod';
import { HttpError } from '../adapters/http.ts';
import { read, write, type Session } from './github-api.ts';
import type { GithubFreezeOptions } from './github-options.ts';

/** Part to what it was. */
export type Before = Readonly<Record<string, unknown>>;

const variableSchema = z.object({ value: z.string() });
const noteSchema = z.object({ parts: z.record(z.string(), z.object({ incident: z.string(), was: z.unknown() })) });
type Parts = z.infer<typeof noteSchema>['parts'];

/** One for all who use the same ruleset, since they freeze together. */
export const noteName = ({ ruleset }: Pick<GithubFreezeOptions, 'ruleset'>): string => `BACKOUT_${ruleset.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')}_BEFORE`;

async function partsNoted(session: Session): Promise<Parts | null> {
  const name = noteName(session.call.options);
  const action = `reading the variable ${name}`;
  const variable = await read(session, action, `/actions/variables/${name}`, variableSchema).catch((error: unknown) => {
    if (error instanceof HttpError && error.kind === 'not-found') return null;
    throw error;
  });
  if (variable === null) return null;
  const { success, data } = z.preprocess(jsonOf, noteSchema).safeParse(variable.value);
  if (success) return data.parts;
  const lost = 'somebody changed it, so what was there before the freeze is lost; write down what you know of it, then delete the variable';
  throw session.http.error('configuration', action, lost);
}

function jsonOf(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return null;
  }
}

const valueOf = (parts: Parts): string => JSON.stringify({ of: 'Backout: what a freeze changed here, for its lift to put back', parts });

async function rewrite(session: Session, parts: Parts): Promise<void> {
  const name = noteName(session.call.options);
  await write(session, `changing the variable ${name}`, 'PATCH', `/actions/variables/${name}`, { name, value: valueOf(parts) });
}

const beforeOf = (parts: Parts): Before => Object.fromEntries(Object.entries(parts).map(([part, { was }]) => [part, was]));

/** Null: nothing is noted here. */
export async function noted(session: Session): Promise<Before | null> {
  const parts = await partsNoted(session);
  return parts === null ? null : beforeOf(parts);
}

/**
 * Notes what is about to be changed, and answers with all that is noted. What this incident noted first stays: a part that it finds
 * unfrozen again was loosened in between. What another one noted of a part that is not frozen now is out of date.
 * `raced`: another attempt wrote it at the same time.
 */
export async function note(session: Session, before: Before): Promise<{ readonly before: Before; readonly raced: boolean }> {
  const { incident, options } = session.call;
  const name = noteName(options);
  const mine: Parts = Object.fromEntries(Object.entries(before).map(([part, was]) => [part, { incident, was }]));
  let earlier = await partsNoted(session);
  let raced = false;
  if (earlier === null && Object.keys(mine).length > 0) {
    try {
      await write(session, `creating the variable ${name}`, 'POST', '/actions/variables', { name, value: valueOf(mine) });
      return { before, raced };
    } catch (error) {
      if (!(error instanceof HttpError) || error.kind !== 'conflict') throw error;
      earlier = await partsNoted(session);
      if (earlier === null) throw error;
      raced = true;
    }
  }
  const fresh = Object.entries(mine).filter(([part]) => earlier?.[part]?.incident !== incident);
  const all = { ...earlier, ...Object.fromEntries(fresh) };
  if (fresh.length > 0) await rewrite(session, all);
  return { before: beforeOf(all), raced };
}

/** Strikes out what has been put back, and deletes the note when nothing is left of it. */
export async function strike(session: Session, parts: readonly string[]): Promise<void> {
  const earlier = await partsNoted(session);
  if (earlier === null) return;
  const left = Object.fromEntries(Object.entries(earlier).filter(([part]) => !parts.includes(part)));
  if (Object.keys(left).length === Object.keys(earlier).length) return;
  if (Object.keys(left).length > 0) {
    await rewrite(session, left);
    return;
  }
  const name = noteName(session.call.options);
  await write(session, `deleting the variable ${name}`, 'DELETE', `/actions/variables/${name}`).catch((error: unknown) => {
    if (!(error instanceof HttpError) || error.kind !== 'not-found') throw error;
  });
}
