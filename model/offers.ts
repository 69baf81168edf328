/** What may be decided about a step that stands still: each decision that the rules take now, with a word on when it is the right one. */
import { judgeDecision, type Desk, type DeskStep } from './answers.ts';
import type { Decide, Decision } from './input.ts';
import { judgeLeft } from './later-rules.ts';

export interface Offer {
  readonly action: Exclude<Decision, 'close'>;
  readonly when: string;
  /** Of the command, after the step; begins with a space. */
  readonly flags: string;
  /** Of the message, beside step, person and action. */
  readonly json: Readonly<Record<string, unknown>>;
}

const PLAIN = { flags: ' --reason WHY', json: { reason: 'WHY' } };

/** The likeliest last, as everywhere. */
export function offersOf(desk: Desk, step: DeskStep): Offer[] {
  const all = [...leave(desk, step), ...byHand(step), again(desk, step)];
  return all.filter((offer) => {
    const message: Decide = { step: step.id, by: '', role: null, analysis: null, due: null, evidence: [], reason: '', ...offer.json, action: offer.action };
    const due = message.due === null ? {} : { due: '9999-12-31' };
    return (judgeDecision(desk, step, { ...message, ...due }) ?? judgeLeft(desk, { ...message, ...due })) === null;
  });
}

function leave(desk: Desk, { operation }: DeskStep): Offer[] {
  const { policy } = desk;
  if (policy.subject === 'tenant') return [{ action: 'skip', when: 'leave it: it remains, and is documented', ...PLAIN }];
  const risk: Offer = {
    action: 'skip',
    when: 'leave it: a risk you sign for, until a date',
    flags: ' --due DATE --reason WHY',
    json: { reason: 'WHY', due: 'DATE' },
  };
  if (operation !== 'gate') return [risk];
  const evidence = ['link=WHERE IT IS TRACKED', 'proof=THAT IT FAILED BEFORE'];
  const baseline: Offer = {
    action: 'skip',
    when: 'it was red before, too',
    flags: ` --evidence ${evidence.map((one) => `"${one}"`).join(' ')} --reason WHY`,
    json: { reason: 'WHY', evidence },
  };
  return [risk, baseline];
}

/** A check is nobody's to do by hand: it looks, and can only look again. */
function byHand({ mode, operation }: DeskStep): Offer[] {
  if (mode === 'gate') return [];
  if (operation === 'communicate')
    return [{ action: 'done', when: 'you told them by hand', flags: ' --evidence LINK --reason WHY', json: { reason: 'WHY', evidence: ['LINK'] } }];
  return [{ action: 'done', when: 'you did it by hand: Backout looks', ...PLAIN }];
}

function again({ policy }: Desk, { state, mode }: DeskStep): Offer {
  const when = state === 'declined' ? 'ask again' : mode === 'gate' ? 'look again, the cause is mended' : 'again, the cause is mended';
  const analysis = policy.retryNeedsAnalysis ? { flags: ' --analysis "WHAT WENT WRONG"', json: { analysis: 'WHAT WENT WRONG' } } : { flags: '', json: {} };
  return { action: 'retry', when, flags: `${PLAIN.flags}${analysis.flags}`, json: { ...PLAIN.json, ...analysis.json } };
}
