/** What an incident rollback knows beside its steps [001]. Handlers write here, the walk and the communications read here. */
import { fieldOf, textOf } from '../model/field.ts';
import type { Confirm } from '../model/input.ts';
import type { Answer } from '../model/state.ts';

export interface Declared {
  readonly by: string;
  readonly at: string;
  readonly criticalArea: string | null;
  readonly missedWindow: string | null;
}

export class IncidentProgress {
  declared: Declared | null = null;
  /** What the incident has frozen and not lifted, as the register last said. */
  frozen: readonly string[] = [];
  /** What the Incident Commander chose to unfreeze now; null: everything. */
  lifting: readonly string[] | null = null;
  /** What to do about another rollback that holds a component. */
  takeover: 'take-over' | 'wait' | null = null;
  /** The Workflow Id of that other one. */
  holder: string | null = null;
  /** Updates that were asked for and are not sent yet. */
  readonly updates: Confirm[] = [];
  /** A message is on its way; the end waits for it, so that nothing is written after it. */
  sending = false;
  private last = '';
  /** How many updates went out. */
  sent = 0;
  /** When the next update is due, in epoch ms; null before the first word and after the last. */
  nextUpdateMs: number | null = null;

  /** What a confirmation means beyond its step. */
  confirmed(step: string, message: Pick<Confirm, 'by' | 'choice' | 'data'>, at: string): void {
    if (step === 'declaration')
      this.declared = { by: message.by, at, criticalArea: textOf(message.data, 'criticalArea'), missedWindow: textOf(message.data, 'missedWindow') };
    if (step === 'takeover') this.takeover = message.choice === 'take-over' ? 'take-over' : 'wait';
    if (step === 'unfreeze') this.lifting = scopesOf(message.data);
  }

  /** An update to be sent; false: it was asked for already, and a repeated message changes nothing. */
  asks(update: Confirm): boolean {
    const key = JSON.stringify(update);
    if (key === this.last) return false;
    this.last = key;
    this.updates.push(update);
    return true;
  }

  /** What was not sent, or is due again, may be said in the same words. */
  mayRepeat(): void {
    this.last = '';
  }

  /** After its execution was ended from outside: what earlier answers still mean. A takeover is asked anew, since it was meant for what ran then. */
  rebuild(answer: Answer): void {
    if (answer.name === 'confirm' && answer.step === 'declaration')
      this.confirmed('declaration', { by: answer.by, choice: null, data: answer['data'] }, answer.at);
  }
}

function scopesOf(data: unknown): string[] | null {
  const scopes = fieldOf(data, 'scopes');
  return Array.isArray(scopes) ? scopes.filter((one) => typeof one === 'string') : null;
}
