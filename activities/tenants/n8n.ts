/**
 * n8n as a platform that has workflows and webhook paths of tenants [000 Rollback Scope]. A tag says whose a workflow is. See n8n-api.ts for what
 * is asked, n8n-routes.ts for how a route is probed without running it.
 */
import { createHash } from 'node:crypto';
import { keyOf, type Artifact } from '../../model/tenant.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { isPublished, listed, NAME, read, tagged, withN8n, type Session, type Workflow } from './n8n-api.ts';
import { deactivate, remove } from './n8n-apply.ts';
import { markOf, optionsSchema, ownershipOf, sharedAs, type N8nOptions } from './n8n-options.ts';
import { checkedPath, hasExpressionPath, livePaths, pathOf, probe, serves, type Probe } from './n8n-routes.ts';
import type { ArtifactCall, Sighting, TenantPlatform } from './platform.ts';

type Call = ArtifactCall<N8nOptions>;
const CHOICES = ['deactivate', 'delete'] as const;

const refused = (text: string): AdapterError => new AdapterError('configuration', `[${NAME}] ${text}`);

function checkedId(id: string): string {
  if (!/^[\w-]{1,64}$/.test(id)) throw refused(`${JSON.stringify(id)} is no id of a workflow; take it from its address in n8n`);
  return id;
}

const nameOf = ({ id, name }: Workflow): string => `workflow ${id} ${JSON.stringify(name)}`;

async function inspectWorkflow(session: Session, id: string): Promise<Sighting> {
  const workflow = await read(session, id);
  return workflow === null
    ? { presence: 'absent', guarded: null, detail: `There is no workflow ${id}.`, facts: { workflow: id } }
    : sightingOf(session, workflow);
}

function sightingOf(session: Session, workflow: Workflow): Sighting {
  const { id } = workflow;
  const paths = livePaths(workflow).join(', ');
  const state = isPublished(workflow)
    ? `is published, version ${workflow.activeVersionId}${paths === '' ? '' : `, and serves ${paths}`}`
    : `is not published${workflow.isArchived ? ', and archived' : ''}`;
  return {
    presence: isPublished(workflow) ? 'present' : 'inactive',
    guarded: ownershipOf(session.call.options, session.call.tenant, workflow).guarded,
    detail: `The ${nameOf(workflow)} ${state}.`,
    facts: {
      workflow: id,
      name: workflow.name,
      active: workflow.active,
      activeVersionId: workflow.activeVersionId,
      versionId: workflow.versionId,
      archived: workflow.isArchived,
      tags: workflow.tags.map(({ name }) => name).join(', '),
    },
  };
}

/** What keeps a workflow that serves the path from being this tenant's; null where nothing does. One that is listed needs no mark to be in use. */
function foreign({ options, tenant, listed: own }: Pick<Call, 'listed' | 'tenant' | 'options'>, workflow: Workflow): string | null {
  const { guarded, unmarked } = ownershipOf(options, tenant, workflow);
  const isListed = own.some((one) => keyOf(one) === keyOf({ type: 'n8n-workflow', id: workflow.id }));
  return guarded === null || (unmarked && isListed) ? null : `${nameOf(workflow)} serves it: ${guarded}`;
}

async function inspectWebhook(session: Session, call: Call, live: readonly Workflow[]): Promise<Sighting> {
  const path = checkedPath(call.artifact.id);
  const serving = live.filter((workflow) => serves(workflow, path));
  const [production, test] = await Promise.all([probe(session, 'webhook', path), probe(session, 'webhook-test', path)]);
  const reasons = serving.map((workflow) => foreign(call, workflow)).filter((one) => one !== null);
  const expressions = live.filter((workflow) => hasExpressionPath(workflow)).length;
  const { presence, why } = presenceOf(production, test, serving);
  const unexplained =
    presence === 'present' && serving.length === 0
      ? ` No published workflow names it: it is on its way out, or an expression makes it, as in ${expressions} published workflows.`
      : '';
  return {
    presence,
    guarded: reasons.length === 0 ? null : reasons.join('; '),
    detail: `${why}${unexplained}`,
    facts: {
      path,
      production: `${production.route}: ${production.detail}`,
      test: `${test.route}: ${test.detail}`,
      servedBy: serving.map(({ id }) => id).join(', '),
      expressions,
    },
  };
}

/** From one listing: what is published there is at work, and needs neither be read nor probed one by one. */
async function surveyed(
  session: Session,
  call: Pick<Call, 'listed' | 'tenant' | 'options'>,
  artifacts: readonly Artifact[],
  one: (artifact: Artifact) => Call,
): Promise<Sighting[]> {
  const all = await listed(session, {});
  const known = new Map(all.map((workflow) => [workflow.id, workflow]));
  const live = all.filter(isPublished);
  // Hundreds of paths against hundreds of workflows: by name first, by pattern only where no name fits.
  const named = new Map<string, Workflow[]>();
  for (const workflow of live) for (const path of livePaths(workflow)) named.set(path, [...(named.get(path) ?? []), workflow]);
  const seen: Sighting[] = [];
  for (const artifact of artifacts) {
    session.say(`looked at ${seen.length} of ${artifacts.length} artifacts`);
    const workflow = artifact.type === 'n8n-workflow' ? known.get(artifact.id) : undefined;
    const serving = artifact.type === 'webhook' ? (named.get(pathOf(artifact.id)) ?? []) : [];
    if (workflow) seen.push(sightingOf(session, workflow));
    else if (serving.length > 0) seen.push(published(call, artifact, serving));
    else seen.push(artifact.type === 'webhook' ? await inspectWebhook(session, one(artifact), live) : await inspectWorkflow(session, checkedId(artifact.id)));
  }
  return seen;
}

function published(call: Pick<Call, 'listed' | 'tenant' | 'options'>, { id }: Artifact, serving: readonly Workflow[]): Sighting {
  const reasons = serving.map((workflow) => foreign(call, workflow)).filter((one) => one !== null);
  const detail = `It is published with ${serving.map(nameOf).join(', ')}.`;
  return {
    presence: 'present',
    guarded: reasons.length === 0 ? null : reasons.join('; '),
    detail,
    facts: { path: pathOf(id), servedBy: serving.map((one) => one.id).join(', ') },
  };
}

function presenceOf(production: Probe, test: Probe, serving: readonly Workflow[]): Pick<Sighting, 'presence'> & { readonly why: string } {
  const routes = [
    ['production', production],
    ['test', test],
  ] as const;
  const answering = routes.filter(([, { route }]) => route === 'answers');
  if (answering.length > 0) {
    const which = answering.map(([name, { detail }]) => `the ${name} route (${detail})`).join(' and ');
    return { presence: 'present', why: `There answers ${which}${serving.length === 0 ? '' : ` of ${serving.map(nameOf).join(', ')}`}.` };
  }
  const doubtful = routes.filter(([, { route }]) => route === 'not known');
  if (doubtful.length > 0)
    return { presence: 'unknown', why: `It is not known yet of ${doubtful.map(([name, { detail }]) => `the ${name} route (${detail})`).join(' and ')}.` };
  // A path is published a moment later than n8n says so, and it is withdrawn a moment later.
  if (serving.length > 0) return { presence: 'unknown', why: `No route answers, though ${serving.map(nameOf).join(', ')} is published with it; look again.` };
  return { presence: 'absent', why: 'No route answers, neither production nor test.' };
}

async function markedOf(session: Session): Promise<Artifact[]> {
  const workflows = await tagged(session, markOf(session.call.options, session.call.tenant));
  const paths = new Map<string, Artifact>();
  for (const workflow of workflows) for (const path of livePaths(workflow)) paths.set(pathOf(path), { type: 'webhook', id: path, name: `of ${workflow.name}` });
  return [...workflows.map(({ id, name }): Artifact => ({ type: 'n8n-workflow', id, name })), ...paths.values()];
}

/** Neither `updatedAt`, which a running flow changes by what it notes, nor anything that a hash would have to hide. */
function fingerprint({ name, active, activeVersionId, versionId, isArchived, tags }: Workflow): string {
  const parts = { name, active, activeVersionId, versionId, isArchived, tags: tags.map((tag) => tag.name).toSorted() };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

async function protectedOf(session: Session): Promise<Record<string, string>> {
  const { options } = session.call;
  const workflows = [...(await tagged(session, options.marks.template)), ...(await tagged(session, options.marks.demo))];
  const found: Record<string, string> = {};
  for (const workflow of workflows) if (sharedAs(options, workflow) !== null) found[workflow.id] = fingerprint(workflow);
  for (const id of [...options.templates, ...options.demos]) {
    if (Object.hasOwn(found, id)) continue;
    const workflow = await read(session, checkedId(id));
    found[id] = workflow === null ? 'absent' : fingerprint(workflow);
  }
  return found;
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function manual({ artifact, options }: Pick<Call, 'artifact' | 'tenant' | 'options' | 'folder'>, choice: string | null): string[] {
  const base = options.url.replace(/\/+$/, '');
  const id = encodeURIComponent(artifact.id);
  if (artifact.type === 'webhook') {
    const path = pathOf(artifact.id).split('/').map(encodeURIComponent).join('/');
    const ask = (kind: string): string => `curl -sSi -X OPTIONS -H 'Origin: https://backout.invalid' ${quoted(`${options.webhooks ?? base}/${kind}/${path}`)}`;
    return ['# no route is left where the one names OPTIONS alone and the other answers 404', ask('webhook'), ask('webhook-test')];
  }
  const [scheme, ...rest] = options.apiKey.split(':');
  const key = scheme === 'env' ? `$${rest.join(':')}` : `$(cat ${quoted(rest.join(':'))})`;
  const curl = (method: string, suffix = ''): string =>
    `curl -fsS -X ${method} -H "X-N8N-API-KEY: ${key}" ${quoted(`${base}/api/v1/workflows/${id}${suffix}`)}`;
  const look = `${base}/workflow/${id}`;
  if (choice === 'deactivate') return [look, curl('POST', '/unpublish')];
  return choice === 'delete' ? [look, `${curl('GET')} > ${quoted(`${id}.json`)}`, curl('POST', '/unpublish'), curl('DELETE')] : [look];
}

export const n8n: TenantPlatform<N8nOptions> = {
  name: NAME,
  types: ['n8n-workflow', 'webhook'],
  options: optionsSchema,
  limits: [
    'A tag says whose a workflow is, and whoever may edit tags may change that; n8n takes 24 characters for a tag, so a longer mark cannot be set.',
    'Only workflows that the owner of the API key may see exist for Backout: n8n answers 404 to the others.',
    'Unpublishing stops no execution that is running or waiting; the receipt says how many there were where the key has the scope execution:list.',
    'A route is withdrawn a moment after n8n says that the workflow is unpublished; a call in that moment may still run the flow.',
    'n8n looks routes up in a cache of each of its processes too; what only such a cache still has cannot be seen without calling it.',
    'Where an expression makes a webhook path, whose route it is cannot be told; whether it answers can.',
    'A deleted workflow comes back only from the file that is kept on the worker before it is deleted, with another id and without its executions.',
  ],
  actions: {
    'n8n-workflow': {
      choices: CHOICES,
      fence: {
        by: 'operation-id',
        window:
          'n8n knows no conditional write: whoever changes tags or publishes again between our look and our write, a few milliseconds, is overruled; unpublishing and deleting again change nothing more.',
      },
    },
  },
  inspect: async (call) => {
    const { type, id } = call.artifact;
    if (type === 'n8n-workflow') return withN8n(call, `workflow ${checkedId(id)}`, (session) => inspectWorkflow(session, id));
    if (type === 'webhook')
      return withN8n(call, `webhook ${checkedPath(id)}`, async (session) => inspectWebhook(session, call, await listed(session, { active: 'true' })));
    throw refused(`it has nothing of the type ${type}`);
  },
  survey: async (call, artifacts) => {
    const strange = artifacts.find(({ type }) => type !== 'n8n-workflow' && type !== 'webhook');
    if (strange) throw refused(`it has nothing of the type ${strange.type}`);
    return withN8n(call, `${artifacts.length} artifacts`, (session) =>
      surveyed(session, call, artifacts, (artifact) => ({ ...call, artifact, operationId: 'survey', attempt: 1 })),
    );
  },
  marked: async (call) => withN8n(call, 'what is marked', markedOf),
  protected: async (call) => withN8n(call, 'templates and demos', protectedOf),
  apply: async (call, choice) => {
    const { type, id } = call.artifact;
    if (type !== 'n8n-workflow' || !CHOICES.some((one) => one === choice))
      throw refused(`there is no authority to ${JSON.stringify(choice)} ${keyOf(call.artifact)}`);
    return withN8n(call, `workflow ${checkedId(id)}`, (session) => (choice === 'delete' ? remove(session, call) : deactivate(session, call)));
  },
  manual,
};
