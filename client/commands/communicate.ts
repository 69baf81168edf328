/** `backout communicate`: what stakeholders would be told now, and where. It sends nothing. */
import { type Command, Option } from 'commander';
import { AUDIENCES, channelName, factsOf, TEMPLATES, type Audience, type Template } from '../../model/communications.ts';
import type { LoadedConfig } from '../../model/config-file.ts';
import type { Channel } from '../../model/config.ts';
import { FREEZE_SCOPES } from '../../model/freeze.ts';
import { POLICIES } from '../../model/policy.ts';
import { entryOf } from '../../model/record.ts';
import type { RollbackState } from '../../model/state.ts';
import { render, type Text } from '../../model/templates.ts';
import { findRollback } from '../find.ts';
import { commandName, note, paint, print } from '../output.ts';
import { personOf } from '../person.ts';
import { EXIT, Problem, said } from '../problem.ts';
import { readRollback } from '../read.ts';
import { withSession, type Session } from '../session.ts';
import { quoted } from '../words.ts';

interface Options {
  readonly template?: Template;
  readonly risk?: readonly string[];
  readonly note?: string;
}

interface Preview extends Text {
  readonly audience: Audience;
  /** Names, never addresses; null: no backout.yaml is at hand to say. */
  readonly channels: readonly string[] | null;
}

export function register(program: Command): void {
  program
    .command('communicate')
    .argument('<id>', 'Workflow Id, rollback id, incident, or the name of a component')
    .addOption(new Option('--template <template>', 'which text; without it, the one that is next').choices(TEMPLATES))
    .option('--risk <text...>', 'a risk beside those the rollback shows; several')
    .option('--note <text>', 'what else is to be said')
    .description('preview what stakeholders would be told, and where; sends nothing')
    .addHelpText(
      'after',
      '\nExamples:\n  $ backout communicate INC-42\n  $ backout communicate INC-42 --template update --risk "the queue is long" --note "the vendor is told"',
    )
    .action((id: string, options: Options, command: Command) => withSession(command, (session) => run(session, id, options)));
}

async function run(session: Session, id: string, options: Options): Promise<void> {
  const { state, remark } = await readRollback(session, await findRollback(session, id, true));
  if (remark !== null) note(remark);
  if (POLICIES[state.kind].level === null)
    throw new Problem(
      EXIT.usage,
      'usage',
      `${state.id} is no incident rollback: only the incident channel is told of it`,
      `see \`${commandName()} show ${state.id}\`; stakeholders are told of an l1Rollback`,
    );
  const loaded = await session.settings.config();
  if (!loaded) note(`there is no ${session.settings.configPath} here: the worker's own says the product's name and the channels`);
  const template = options.template ?? templateOf(state);
  const texts = render(template, await factsFor(session, state, { template, loaded, options }));
  const messages = AUDIENCES.map((audience): Preview => ({ audience, channels: loaded?.config.channels[audience].map(place) ?? null, ...texts[audience] }));
  const next = nextOf(state, template, options);
  print(session.flags.json, { id: state.id, rollbackId: state.rollbackId, template, sent: false, messages, ...next }, () =>
    [...messages.flatMap(shown), `Nothing was sent. ${next.how}`, ...(next.command === null ? [] : [`  ${paint('bold', next.command)}`])].join('\n'),
  );
}

/** The one that is next. */
function templateOf({ steps, outcome }: RollbackState): Template {
  if (outcome !== null || steps.some((step) => step.id === 'unfreeze' && step.state === 'confirmed')) return 'recovery';
  const declared = steps.find((step) => step.id === 'communication.declared');
  return declared === undefined || declared.state === 'pending' || declared.state === 'running' ? 'declared' : 'update';
}

interface Asked {
  readonly template: Template;
  readonly loaded: LoadedConfig | null;
  readonly options: Options;
}

async function factsFor(session: Session, state: RollbackState, { template, loaded, options }: Asked): Promise<ReturnType<typeof factsOf>> {
  const input = await startInput(session, state.rollbackId);
  const told = (name: string): string | null => (typeof input[name] === 'string' ? input[name] : null);
  const nowMs = Date.now();
  const every = loaded?.config.communications.updateEveryMinutes;
  const nextUpdateAt = every === undefined ? state.incidentCommand?.nextUpdateAt : new Date(nowMs + every * 60_000).toISOString();
  // The declaration goes out when everything is frozen.
  const isFrozen = state.steps.some((step) => step.id === 'freeze' && step.state !== 'pending');
  return factsOf(state, {
    at: new Date(nowMs).toISOString(),
    ...(loaded ? { product: loaded.config.product } : {}),
    severity: told('severity'),
    impact: told('impact'),
    contact: told('contact'),
    risks: options.risk ?? [],
    notes: options.note ?? null,
    nextUpdateAt: template === 'recovery' ? null : (nextUpdateAt ?? null),
    ...(template === 'declared' && !isFrozen ? { freezeScopes: FREEZE_SCOPES } : {}),
  });
}

/** What the start said of severity, impact and contact: the state does not hold it, the record does. */
async function startInput(session: Session, rollbackId: string): Promise<Readonly<Record<string, unknown>>> {
  const unknown = (why: string): Readonly<Record<string, unknown>> => {
    note(`severity, impact and contact are not known here: ${why}`);
    return {};
  };
  try {
    const entries = await (await session.store())?.entriesOf(rollbackId);
    const opened = entries?.map(entryOf).find((one) => one.type === 'opened');
    const input = opened?.['input'];
    return typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : unknown('the record has nothing of the start');
  } catch (error) {
    return unknown(said(error).message);
  }
}

/** A reference is no secret; what it refers to is. */
function place(channel: Channel): string {
  if ('file' in channel) return channelName(channel);
  const address = 'webhook' in channel ? channel.webhook : 'slack' in channel ? channel.slack : channel.discord;
  return /^(env|file):/.test(address) ? `${channelName(channel)} (${address})` : channelName(channel);
}

function shown({ audience, channels, subject, body }: Preview): string[] {
  const to =
    channels === null ? 'not known here' : channels.length === 0 ? `nobody; name somebody under channels.${audience} in backout.yaml` : channels.join(', ');
  return [`${paint('bold', audience)}  ${paint('dim', `to ${to}`)}`, '', `Subject: ${subject}`, '', body, '', ''];
}

/** How it gets sent, in words and, where a person does it, as the command. */
function nextOf(state: RollbackState, template: Template, options: Options): { readonly how: string; readonly command: string | null } {
  if (state.state === 'closed') return { how: 'The rollback is closed: nothing of it is sent any more.', command: null };
  const by = personOf(undefined);
  const update = [
    `${commandName()} confirm ${state.id} --step communication.update --by ${by === null ? 'YOU' : quoted(by)}`,
    ...(options.note === undefined ? [] : [`--note ${quoted(options.note)}`]),
    ...(options.risk === undefined ? [] : [`--data ${quoted(JSON.stringify({ risks: options.risk }))}`]),
  ].join(' ');
  if (template === 'update') return { how: 'An update is sent by:', command: update };
  return { how: `The rollback sends this by itself, at its step communication.${template}. An update is sent by:`, command: update };
}
