/** The results of the gates and of the cleanup checklist, as Markdown for review [001 step 4]. From the record alone. */
import { CHECKLIST } from '../../model/incident.ts';
import type { RecordEntry } from '../../model/record.ts';
import type { Answer, Failure, Receipt } from '../../model/state.ts';

export interface ReviewOf {
  readonly incident: string;
  readonly environment: string;
  readonly rollbackId: string;
  readonly workflowId: string;
  readonly entries: readonly RecordEntry[];
}

interface StepEntry extends RecordEntry {
  readonly step: string;
  readonly state: string;
  readonly receipt: Receipt | null;
  readonly failure: Failure | null;
}

/** Foreign text in a cell of a table. */
const cell = (text: string): string => text.replaceAll(/[\s|]+/g, ' ').trim();

export function reviewMarkdown({ incident, environment, rollbackId, workflowId, entries }: ReviewOf): string {
  const steps = entries.filter((one): one is StepEntry => one.type === 'step');
  const answers = entries.flatMap((one) => (one.type === 'answer' ? [one['answer'] as Answer] : [])); // Written by the workflow.
  const last = new Map(steps.map((one) => [one.step, one]));
  const said = (name: string, step: string): Answer | undefined => answers.findLast((one) => one.name === name && one.step === step);
  const checks = [...last.values()].filter(({ step }) => !step.startsWith('communication.') && !step.startsWith('freeze') && step !== 'identify');
  return [
    `# Verification of the rollback of ${incident}`,
    '',
    `- environment: ${environment}`,
    `- workflow: \`${workflowId}\``,
    `- rollback: \`${rollbackId}\``,
    '',
    '## Steps and gates',
    '',
    '| step | result | at | evidence |',
    '|---|---|---|---|',
    ...checks.map((one) => `| ${one.step} | ${resultOf(one, said('decide', one.step))} | ${one.at} | ${cell(evidenceOf(one))} |`),
    '',
    '## Mandatory cleanup validation',
    '',
    '| area | result | by | evidence |',
    '|---|---|---|---|',
    ...CHECKLIST.map((row) => {
      const answer = said('confirm', `cleanup.${row.area}`);
      const evidence = Array.isArray(answer?.['evidence']) ? answer['evidence'].filter((one) => typeof one === 'string').join('; ') : '';
      return `| ${row.title} | ${text(answer?.['choice']) || 'not answered'} | ${answer?.by ?? ''} | ${cell([evidence, text(answer?.['note'])].filter((one) => one !== '').join('; '))} |`;
    }),
    '',
    `The whole record: \`backout report ${workflowId}\`; to verify it: \`backout audit ${rollbackId}\`.`,
    '',
  ].join('\n');
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function resultOf(step: StepEntry, decided: Answer | undefined): string {
  if (!decided || decided['action'] !== 'skip' || decided.at < step.at) return step.state;
  const due = text(decided['due']);
  return due === '' ? `${step.state}, known baseline blocker, by ${decided.by}` : `${step.state}, accepted as risk by ${decided.by} until ${due}`;
}

function evidenceOf({ receipt, failure }: StepEntry): string {
  const ids = Object.entries(receipt?.ids ?? {}).map(([name, id]) => `${name} ${id}`);
  const after = receipt?.after === undefined ? [] : [typeof receipt.after === 'string' ? receipt.after : JSON.stringify(receipt.after)];
  return [...(failure ? [failure.message] : []), ...after, ...ids].join('; ').slice(0, 600);
}
