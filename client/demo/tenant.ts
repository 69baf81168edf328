/** A tenant leaves while the others work on [000]: the inventory, one answer for each artifact, a removal that could not be had, the certificate. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { RollbackState } from '../../model/state.ts';
import { claimFolder } from '../local/folder.ts';
import { callWebhook, makeWorkflow, type MadeWorkflow, type N8nHouse } from './house.ts';
import { backout, chapter, follow, onStage, run, say, type Stage } from './stage.ts';

const ID = 'upaDeprovision/production/acme';
const ROOT = resolve(import.meta.dirname, '../..');

interface N8n extends N8nHouse {
  readonly apiKey: string;
  readonly isReal: boolean;
  readonly stop: () => Promise<unknown>;
}

/** Exit code 0 only where the tenant is deprovisioned, everybody else's webhooks answer, and the audit is clean. */
export async function demoTenant(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  await beginAnew(join(folder, '.backout'));
  const n8n = await startN8n(folder);
  try {
    chapter(
      'Backout: a tenant is offboarded',
      `Real parts in ${relative(process.cwd(), folder)}: a Temporal server, a Postgres, a worker, and ${n8n.isReal ? 'a real n8n' : 'a stand-in for n8n that keeps to what a real one was seen to do (`npm run test:n8n` installs that)'}.`,
    );
    await writeFile(join(folder, 'backout.yaml'), configuration(n8n));
    process.env['DEMO_N8N_KEY'] = n8n.apiKey;
    return await onStage(folder, {}, (stage) => play(stage, n8n));
  } finally {
    await n8n.stop();
  }
}

/** n8n is another one in each play: what an earlier play has recorded would be about workflows that are nowhere. */
async function beginAnew(state: string): Promise<void> {
  // Refuses where a play is under way, and ends what a killed one has left running.
  const claim = await claimFolder(state);
  await claim.release();
  await rm(state, { recursive: true, force: true });
}

const configuration = ({ url }: N8nHouse): string =>
  [
    'product: NexumOps',
    'environments:',
    '  production:',
    '    tenants:',
    '      platforms:',
    `        n8n: { platform: n8n, options: { url: "${url}", apiKey: "env:DEMO_N8N_KEY" } }`,
    '        vapi: { platform: vapi, options: {} }',
    'people:',
    '  ana: { roles: [operator] }',
    '  ben: { roles: [operator] }',
    'channels: { incident: [{ file: ./incidents.log }] }',
    'watch: { minutes: 0 }',
    '',
  ].join('\n');

/** The real one where it was installed by `npm run test:n8n`. */
async function startN8n(folder: string): Promise<N8n> {
  const { isN8nInstalled } = await import('../../test/n8n/install.ts');
  if (isN8nInstalled()) {
    const { startN8n: startReal } = await import('../../test/n8n/start.ts');
    return { ...(await startReal(say)), isReal: true };
  }
  const ledger = join(folder, 'n8n.jsonl');
  await rm(ledger, { force: true });
  const child = spawn(process.execPath, [join(ROOT, 'test/fakes/n8n.ts'), '--port', '0', '--ledger', ledger, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { url } = JSON.parse(line.toString()) as { url: string }; // Printed by the stand-in as its first line.
  return {
    url,
    ownerKey: 'owner-key',
    apiKey: 'fake-key',
    isReal: false,
    stop: async () => {
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
    },
  };
}

interface Made {
  readonly intake: MadeWorkflow;
  readonly reminders: MadeWorkflow;
  /** Everybody who works on. */
  readonly others: readonly MadeWorkflow[];
}

async function provision(stage: Stage, n8n: N8n, requestId: string): Promise<Made> {
  const intake = await makeWorkflow(n8n, 'Acme – intake', 'acme/intake', ['tenant:acme']);
  const reminders = await makeWorkflow(n8n, 'Acme – reminders', 'acme/reminders', ['tenant:acme']);
  const others = [
    await makeWorkflow(n8n, 'Acme Corp – intake', 'acme-corp/intake', ['tenant:acme-corp']),
    await makeWorkflow(n8n, 'Globex – intake', 'globex/intake', ['tenant:globex']),
    await makeWorkflow(n8n, 'Receptionist (template)', 'template/intake', ['template']),
    await makeWorkflow(n8n, 'Receptionist (demo)', 'demo/intake', ['demo']),
  ];
  for (const one of [intake, reminders, ...others]) say(`   ${one.name.padEnd(26)} POST /webhook/${one.path.padEnd(18)} ${await callWebhook(n8n, one.path)}`);
  const request = {
    requestId,
    tenant: 'acme',
    version: '1.4.0',
    status: 'COMPLETED',
    artifacts: [
      { type: 'n8n-workflow', id: intake.id, name: intake.name },
      { type: 'n8n-workflow', id: reminders.id, name: reminders.name },
      { type: 'webhook', id: intake.path },
      { type: 'webhook', id: reminders.path },
      { type: 'crm', id: 'hub-4711', name: 'HubSpot of Acme' },
      { type: 'vapi-assistant', id: 'asst-77', name: 'Receptionist of Acme' },
      { type: 'credential', id: 'acme-hubspot-token' },
    ],
  };
  const file = join(stage.folder, 'acme.json');
  await writeFile(file, JSON.stringify(request, null, 2));
  await backout(stage, ['tenant', 'record', '--environment', 'production', '--file', file, '--by', 'upa']);
  return { intake, reminders, others };
}

/** Told until it asks for this; what stops it before is the end of the play. */
async function asks(stage: Stage, step: string): Promise<RollbackState> {
  const state = await follow(stage, ID, (one) => one.state === 'stopped' || one.state === 'closed' || one.waiting.some((waits) => waits.step === step));
  if (state.state === 'stopped' || state.state === 'closed')
    throw new Error(`${step} was expected, and it is ${state.stopped ?? state.outcome ?? state.state}`);
  return state;
}

async function play(stage: Stage, n8n: N8n): Promise<number> {
  chapter(
    '1  Who is on this n8n',
    'Two tenants whose names look alike, a third one, a template and a demo instance. Provisioning has recorded what it made for acme.',
  );
  const { intake, reminders, others } = await provision(stage, n8n, 'req-1042');

  chapter('2  An operator starts it', 'A bug is no reason [000]; a contract that ended is. Nothing is changed before the inventory is confirmed.');
  const start = ['start', 'upaDeprovision', '--environment', 'production', '--tenant', 'acme', '--by', 'ana'];
  const refused = await backout(stage, [...start, '--cause', 'bug-fix', '--reason', 'the intake form has a typo']);
  await backout(stage, [...start, '--cause', 'client-offboarded', '--reason', 'the contract ended']);
  const asked = await asks(stage, 'inventory');
  await backout(stage, ['show', ID]);
  await backout(stage, ['confirm', ID, '--step', 'inventory', '--plan', asked.planHash ?? '', '--by', 'ana']);

  chapter('3  One answer for each artifact', 'In any order, over days. Backout does what was chosen, and proves it.');
  await asks(stage, `workflow.${intake.id}`);
  const confirm = (...words: string[]): Promise<number> => backout(stage, ['confirm', ID, '--step', ...words, '--by', 'ana']);
  await confirm(`workflow.${intake.id}`, '--choice', 'delete');
  await confirm(`workflow.${reminders.id}`, '--choice', 'deactivate');
  await confirm('crm.hub-4711', `webhook.${intake.path}`, `webhook.${reminders.path}`);
  await asks(stage, 'crm.hub-4711.credentials');
  await confirm('crm.hub-4711.credentials', '--note', 'the token was revoked in HubSpot');
  await asks(stage, 'routes');
  await backout(stage, ['show', ID]);
  await confirm('routes');

  chapter('4  Something cannot be had', 'The dashboard of VAPI is down. That is documented, the request is FAILED, and it waits for people.');
  await backout(stage, ['decline', ID, '--step', 'vapi.asst-77', '--by', 'ben', '--reason', 'the dashboard is down']);
  await follow(stage, ID, (state) => state.state === 'stopped' && state.deprovision?.status === 'FAILED');
  await backout(stage, ['decide', ID, '--step', 'vapi.asst-77', '--action', 'skip', '--by', 'ben', '--reason', 'VAPI is down; I will delete it tomorrow']);
  await asks(stage, 'cleanup');
  await backout(stage, ['tenant', 'show', 'acme', '--environment', 'production']);

  chapter('5  The next day', 'What was left is cleaned up by hand. Everything is looked at once more before the end is written.');
  await backout(stage, ['confirm', ID, '--step', 'cleanup', '--by', 'ben', '--note', 'deleted the assistant in the dashboard; no route answers']);
  await asks(stage, 'completion');
  await backout(stage, ['confirm', ID, '--step', 'completion', '--by', 'ana']);
  const end = await follow(stage, ID, (state) => state.state === 'closed');

  chapter('6  What the others noticed', 'Nothing.');
  const still: number[] = [];
  for (const one of [intake, reminders, ...others]) {
    const status = await callWebhook(n8n, one.path);
    say(`   ${one.name.padEnd(26)} POST /webhook/${one.path.padEnd(18)} ${status}`);
    still.push(status);
  }

  chapter('7  For the client and the auditor', 'The certificate says of each artifact how it is known; the audit replays the history and compares its values.');
  const certificate = join(stage.folder, 'acme.html');
  await backout(stage, ['report', ID, '--certificate', '--format', 'html', '--out', certificate]);
  const audit = await backout(stage, ['audit', ID]);
  const { output } = await run(
    process.execPath,
    [join(ROOT, 'client/backout.mjs'), 'tenant', 'show', 'acme', '--environment', 'production', '--json'],
    stage.env,
    false,
  );
  const isOver = end.outcome === 'rolled-back' && output.includes('"ROLLED_BACK"') && output.includes('"deprovisioned"');
  const isUntouched = still.slice(0, 2).every((status) => status === 404) && still.slice(2).every((status) => status === 200);
  say();
  say(
    isOver && isUntouched
      ? `acme is deprovisioned; everybody else works on. The certificate is ${relative(process.cwd(), certificate)}`
      : 'This did not go as it should.',
  );
  return isOver && isUntouched && audit === 0 && refused === 3 ? 0 : 1;
}
