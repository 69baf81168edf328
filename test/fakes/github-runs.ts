/** What the fake GitHub knows: one repository, one workflow, its runs. Answers are typed by the vendor's published types. */
import { spawn } from 'node:child_process';
import type { components } from '@octokit/openapi-types';
import { note } from './github-server.ts';

type Schemas = components['schemas'];
export type RunAnswer = Pick<
  Schemas['workflow-run'],
  | 'id'
  | 'node_id'
  | 'name'
  | 'display_title'
  | 'head_branch'
  | 'head_sha'
  | 'path'
  | 'run_number'
  | 'run_attempt'
  | 'event'
  | 'status'
  | 'conclusion'
  | 'workflow_id'
  | 'url'
  | 'html_url'
  | 'created_at'
  | 'updated_at'
  | 'run_started_at'
  | 'cancel_url'
  | 'jobs_url'
  | 'logs_url'
  | 'workflow_url'
>;
export type WorkflowAnswer = Schemas['workflow'];

/** How a run goes: its states with their times (null: until it is approved), then its end. */
export interface Plan {
  readonly states?: readonly { readonly status: string; readonly ms: number | null }[];
  /** Without it: failure for a version that is bad or no tag, or whose command fails; else success. */
  readonly conclusion?: string;
}

export interface Settings {
  token: string;
  repository: string;
  workflow: string;
  state: WorkflowAnswer['state'];
  dispatchable: boolean;
  inputs: Record<string, { required: boolean }>;
  runName: string | null;
  /** Is the workflow file shown to the token? */
  contents: boolean;
  /** `ignore` and `refuse`: a server that does not know the field. */
  runDetails: 'yes' | 'ignore' | 'refuse';
  /** How late a new run appears in the list, and by its id. */
  staleMs: number;
  staleGetMs: number;
  plan: Plan;
  tags: string[];
  bad: string[];
  served: Record<string, string>;
  /** Run in a shell by a run that comes to its end, with VERSION, COMPONENT, ENVIRONMENT and OPERATION. */
  command: string | null;
}

export interface Run {
  readonly answer: RunAnswer;
  readonly inputs: Readonly<Record<string, string>>;
  readonly createdMs: number;
  wake: (() => void) | null;
  cancelled: boolean;
}

export const SHA = '0123456789abcdef0123456789abcdef01234567';
const SHORT: Plan = {
  states: [
    { status: 'queued', ms: 30 },
    { status: 'in_progress', ms: 50 },
  ],
};

const defaults = (): Settings => ({
  token: 'fake-token',
  repository: 'acme/shop',
  workflow: 'rollback.yml',
  state: 'active',
  dispatchable: true,
  inputs: Object.fromEntries(['version', 'component', 'environment', 'operation'].map((name) => [name, { required: true }])),
  runName: 'Rollback ${{ inputs.component }} to ${{ inputs.version }} in ${{ inputs.environment }} (${{ inputs.operation }})',
  contents: true,
  runDetails: 'yes',
  staleMs: 0,
  staleGetMs: 0,
  plan: SHORT,
  tags: ['v1', 'v2', 'bad'],
  bad: ['bad'],
  served: {},
  command: null,
});

/** The dates of GitHub know no fractions of a second. */
const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

export class Runs {
  readonly settings: Settings = defaults();
  /** Newest first. */
  readonly all: Run[] = [];
  readonly plans: Plan[] = [];
  readonly base: string;
  readonly ledger: string;
  private id = 9_000_000_000;

  constructor(base: string, ledger: string) {
    this.base = base;
    this.ledger = ledger;
  }

  note(event: Readonly<Record<string, unknown>>): void {
    note(this.ledger, event);
  }

  get repositoryUrl(): string {
    return `${this.base}/repos/${this.settings.repository}`;
  }

  get file(): string {
    const { runName, inputs } = this.settings;
    return [
      'name: Rollback',
      ...(runName === null ? [] : [`run-name: ${runName}`]),
      'on:',
      '  workflow_dispatch:',
      '    inputs:',
      ...Object.keys(inputs).map((name) => `      ${name}: { required: true }`),
      '',
    ].join('\n');
  }

  workflow(): WorkflowAnswer {
    const { workflow, state } = this.settings;
    return {
      id: 5,
      node_id: 'W_5',
      name: 'Rollback',
      path: `.github/workflows/${workflow}`,
      state,
      created_at: time(0),
      updated_at: time(0),
      url: `${this.repositoryUrl}/actions/workflows/5`,
      html_url: `${this.base}/html/blob/main/.github/workflows/${workflow}`,
      badge_url: `${this.base}/html/badge.svg`,
    };
  }

  /** A run, made now or `ageMs` ago, that does nothing yet. */
  add(inputs: Record<string, string>, ref: string, ageMs = 0): Run {
    const id = (this.id += 1);
    const createdMs = Date.now() - ageMs;
    const title = this.settings.runName?.replaceAll(/\$\{\{\s*inputs\.(\w+)\s*\}\}/g, (_, name: string) => inputs[name] ?? '') ?? 'Rollback';
    const url = `${this.repositoryUrl}/actions/runs/${id}`;
    const answer: RunAnswer = {
      id,
      node_id: `R_${id}`,
      name: 'Rollback',
      display_title: title,
      head_branch: ref,
      head_sha: SHA,
      path: `.github/workflows/${this.settings.workflow}`,
      run_number: this.all.length + 1,
      run_attempt: 1,
      event: 'workflow_dispatch',
      status: 'queued',
      conclusion: null,
      workflow_id: 5,
      url,
      html_url: `${this.base}/html/actions/runs/${id}`,
      created_at: time(createdMs),
      updated_at: time(createdMs),
      run_started_at: time(createdMs),
      cancel_url: `${url}/cancel`,
      jobs_url: `${url}/jobs`,
      logs_url: `${url}/logs`,
      workflow_url: `${this.repositoryUrl}/actions/workflows/5`,
    };
    const run: Run = { answer, inputs, createdMs, wake: null, cancelled: false };
    this.all.unshift(run);
    return run;
  }

  /** The effect that the ledger counts: from here on the run goes its way, whoever dispatched it. */
  dispatch(inputs: Record<string, string>, ref: string): Run {
    const run = this.add(inputs, ref);
    this.note({ event: 'dispatch', operation: inputs['operation'] ?? null, run: run.answer.id, inputs });
    void this.play(run, this.plans.shift() ?? this.settings.plan);
    return run;
  }

  wake(run: Run): void {
    run.wake?.();
  }

  private async play(run: Run, plan: Plan): Promise<void> {
    for (const { status, ms } of plan.states ?? []) {
      run.answer.status = status;
      if (!run.cancelled)
        await new Promise<void>((resolve) => {
          run.wake = resolve;
          if (ms !== null) setTimeout(resolve, ms);
        });
    }
    const conclusion = run.cancelled ? 'cancelled' : (plan.conclusion ?? (await this.deploy(run)));
    const { version, component, operation } = run.inputs;
    if (conclusion === 'success' && version !== undefined && component !== undefined) this.settings.served[component] = version;
    Object.assign(run.answer, { status: 'completed', conclusion, updated_at: time(Date.now()) });
    this.note({ event: 'conclusion', operation: operation ?? null, run: run.answer.id, conclusion });
  }

  private async deploy(run: Run): Promise<string> {
    const { version = '', component = '', environment = '', operation = '' } = run.inputs;
    const { tags, bad, command } = this.settings;
    if (!tags.includes(version) || bad.includes(version)) return 'failure';
    if (command === null) return 'success';
    const env = { ...process.env, VERSION: version, COMPONENT: component, ENVIRONMENT: environment, OPERATION: operation };
    const code = await new Promise<number | null>((resolve) => {
      const child = spawn(command, { shell: true, stdio: ['ignore', 'ignore', 'inherit'], env });
      child.on('error', () => {
        resolve(null);
      });
      child.on('exit', resolve);
    });
    return code === 0 ? 'success' : 'failure';
  }
}
