/** The very words that answer a waiting step, filled in as far as they can be: as flags of the command and as JSON of the message. */
import { NOT_APPLICABLE } from './incident.ts';
import type { PlannedStep } from './plan.ts';

export interface AnswerTo {
  /** Begins with a space, where there is anything. */
  readonly flags: string;
  readonly json: Readonly<Record<string, unknown>>;
}

export function answerTo({ id, demands, beside }: PlannedStep, planHash: string | null): AnswerTo {
  const json: Record<string, unknown> = { step: id, by: 'YOU' };
  const flags: string[] = [];
  const add = (name: string, value: unknown, flag: string): void => {
    json[name] = value;
    flags.push(flag);
  };
  if (id === 'investigation') add('note', 'the finding', '--note "the finding"');
  if (beside) add('note', 'WHAT IS NEW', '--note "WHAT IS NEW"');
  if (demands?.plan) add('plan', planHash, `--plan ${planHash ?? 'HASH'}`);
  const [choice] = demands?.choices ?? [];
  if (choice !== undefined) add('choice', choice, `--choice ${choice}`);
  if (demands?.note === true || (demands?.note !== undefined && demands.note === choice)) add('note', 'WHY', '--note WHY');
  if (demands?.lists) {
    const data = { rotate: demands.lists, revokeFirst: [], unaffected: [] };
    add('data', data, `--data '${JSON.stringify(data)}'`);
  }
  if (demands?.data) {
    const data = Object.fromEntries(demands.data.map((name) => [name, '…']));
    add('data', data, `--data '${JSON.stringify(data)}'`);
  }
  if (demands?.items && demands.items.length > 0 && choice !== NOT_APPLICABLE) {
    const evidence = demands.items.map((item) => `${item}=…`);
    add('evidence', evidence, `--evidence ${evidence.map((one) => `"${one}"`).join(' ')}`);
  }
  return { flags: flags.length === 0 ? '' : ` ${flags.join(' ')}`, json };
}
