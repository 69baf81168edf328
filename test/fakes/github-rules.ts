/**
 * A GitHub with one repository whose rulesets, workflows, environments and variables can be read and changed, as a process of its own:
 * `node test/fakes/github-rules.ts --port 0 --ledger FILE` prints `{"url":…}`. Where the documentation is silent it is as unkind as
 * GitHub may be: a field left out of a PUT is emptied.
 *
 *   POST /_control   settings (see github-rules-state.ts), and: faults: a queue · rulesetsMore: more of them · reset: true
 *   GET  /_ledger    every change that took effect · GET /_state all that is there · GET /_requests what was asked
 */
import { environmentAnswer, branchRules, rulesetAnswer, settings as defaults, type Permission, type Ruleset, type Settings } from './github-rules-state.ts';
import { checkedEnvironment, checkedRuleset, type Checked } from './github-rules-checks.ts';
import { NOT_FOUND, note, parsed, refusal, serve, stopped, type Answer, type Asked, type ServerControl } from './github-server.ts';

export interface Control extends Partial<Settings>, ServerControl {
  /** Added to those that are there. */
  readonly rulesetsMore?: readonly Partial<Ruleset>[];
}

/** The scope that a change belongs to; null for what freezes nothing. */
export interface LedgerEntry {
  readonly event: 'ruleset.create' | 'ruleset.update' | 'workflow' | 'environment' | 'variable';
  readonly scope: 'merges' | 'promotions' | 'deployments' | null;
  readonly what: string;
}

class Repository {
  readonly settings: Settings = defaults();
  readonly base: string;
  private readonly ledger: string;
  private id = 70;

  constructor(base: string, ledger: string) {
    this.base = base;
    this.ledger = ledger;
  }

  note(entry: LedgerEntry): void {
    note(this.ledger, { ...entry });
  }

  add(ruleset: Partial<Ruleset>): Ruleset {
    const added: Ruleset = {
      id: (this.id += 1),
      name: `other-${this.id}`,
      target: 'branch',
      enforcement: 'active',
      bypass_actors: [],
      conditions: { ref_name: { include: [], exclude: [] } },
      rules: [],
      changedMs: Date.now(),
      was: null,
      ...ruleset,
    };
    this.settings.rulesets.push(added);
    return added;
  }
}

const FORBIDDEN = refusal(403, 'Resource not accessible by personal access token');
const UPGRADE = refusal(403, 'Upgrade to GitHub Pro or make this repository public to enable this feature.');
const RANK: Record<Permission, number> = { none: 0, read: 1, write: 2 };
const may = (has: Permission, method: string): boolean => RANK[has] >= (method === 'GET' ? RANK.read : RANK.write);

function page<T>(items: readonly T[], query: URLSearchParams): T[] {
  const size = Math.min(100, Number(query.get('per_page') ?? 30));
  const first = (Number(query.get('page') ?? 1) - 1) * size;
  return items.slice(first, first + size);
}

function saved(repository: Repository, checked: Checked<Partial<Ruleset>>, before: Ruleset | null): Answer {
  if ('refused' in checked) return checked.refused;
  const { settings } = repository;
  const name = checked.value.name ?? before?.name;
  if (settings.uniqueNames && settings.rulesets.some((one) => one.name === name && one.id !== before?.id))
    return { status: 422, body: { message: 'Validation Failed', errors: ['Name must be unique'] } };
  const ruleset = before ?? repository.add({});
  const was = before === null ? null : { ...before, was: null };
  Object.assign(ruleset, { bypass_actors: [], rules: [], conditions: { ref_name: { include: [], exclude: [] } } }, checked.value, {
    changedMs: Date.now(),
    was,
  });
  repository.note({ event: before === null ? 'ruleset.create' : 'ruleset.update', scope: 'merges', what: `${ruleset.name} ${ruleset.enforcement}` });
  return { status: before === null ? 201 : 200, body: rulesetAnswer(ruleset, settings.repository, true, 'write') };
}

function rulesets(repository: Repository, { method, path, query, text }: Asked): Answer {
  const { settings } = repository;
  const { administration } = settings.permissions;
  if (settings.plan === 'free') return UPGRADE;
  if (method !== 'GET' && !may(administration, method)) return FORBIDDEN;
  const id = /\/rulesets\/(\d+)$/.exec(path)?.[1];
  const ruleset = settings.rulesets.find((one) => String(one.id) === id) ?? null;
  if (id !== undefined && ruleset === null) return NOT_FOUND;
  switch (`${method} ${ruleset === null ? 'all' : 'one'}`) {
    case 'GET all':
      return { status: 200, body: page(settings.rulesets, query).map((one) => rulesetAnswer(one, settings.repository, false, administration)) };
    case 'POST all':
      return saved(repository, checkedRuleset(settings, parsed(text), true), null);
    case 'GET one':
      return ruleset === null ? NOT_FOUND : { status: 200, body: rulesetAnswer(ruleset, settings.repository, true, administration) };
    case 'PUT one':
      return saved(repository, checkedRuleset(settings, parsed(text), false), ruleset);
    default:
      return NOT_FOUND;
  }
}

function workflows(repository: Repository, method: string, file: string, verb: string | undefined): Answer {
  const { settings, base } = repository;
  const state = settings.workflows[file];
  if (state === undefined) return NOT_FOUND;
  if (!may(settings.permissions.actions, method)) return FORBIDDEN;
  const id = 900 + Object.keys(settings.workflows).indexOf(file);
  if (method === 'GET' && verb === undefined)
    return {
      status: 200,
      body: { id, node_id: `W_${id}`, name: file, path: `.github/workflows/${file}`, state, html_url: `${base}/actions/workflows/${file}` },
    };
  if (method !== 'PUT' || (verb !== 'enable' && verb !== 'disable')) return NOT_FOUND;
  const goal = verb === 'enable' ? 'active' : 'disabled_manually';
  if (settings.strictWorkflows && state === goal) return refusal(403, `Unable to ${verb} this workflow.`);
  settings.workflows[file] = goal;
  repository.note({ event: 'workflow', scope: 'promotions', what: `${file} ${verb}` });
  return { status: 204 };
}

function environments(repository: Repository, { method, text }: Asked, name: string): Answer {
  const { settings, base } = repository;
  const environment = settings.environments[name];
  if (method === 'GET') return environment === undefined ? NOT_FOUND : { status: 200, body: environmentAnswer(name, environment, base, settings.olderServer) };
  if (method !== 'PUT') return NOT_FOUND;
  if (!may(settings.permissions.administration, method)) return FORBIDDEN;
  const checked = checkedEnvironment(settings, parsed(text));
  if ('refused' in checked) return checked.refused;
  const changed = { id: environment?.id ?? 599, ...checked.value };
  settings.environments[name] = changed;
  repository.note({ event: 'environment', scope: 'deployments', what: `${name} ${changed.reviewers.map(({ type, id }) => `${type} ${id}`).join(', ')}` });
  return { status: 200, body: environmentAnswer(name, changed, base, settings.olderServer) };
}

function variables(repository: Repository, { method, text }: Asked, named: string | undefined): Answer {
  const { settings } = repository;
  if (!may(settings.permissions.variables, method)) return FORBIDDEN;
  const body = parsed(text);
  const name = (named ?? (typeof body?.['name'] === 'string' ? body['name'] : '')).toUpperCase();
  if (!/^(?!GITHUB_)[A-Z_][A-Z0-9_]*$/.test(name)) return refusal(422, 'Variable names can only contain alphanumeric characters and underscores');
  const there = settings.variables[name];
  if (named === undefined && there !== undefined) return refusal(409, 'Already exists - Variable already exists');
  if (named !== undefined && there === undefined) return NOT_FOUND;
  if (method === 'GET') return { status: 200, body: { name, value: there, created_at: '2026-11-21T00:00:00Z', updated_at: '2026-11-21T00:00:00Z' } };
  if (method === 'DELETE') delete settings.variables[name];
  else if (typeof body?.['value'] === 'string') settings.variables[name] = body['value'];
  else return refusal(422, 'Invalid request.\n\n"value" wasn\'t supplied.');
  repository.note({ event: 'variable', scope: null, what: `${method} ${name}` });
  return method === 'POST' ? { status: 201, body: {} } : { status: 204 };
}

function api(repository: Repository, asked: Asked): Answer {
  const { settings } = repository;
  const refused = stopped(asked, settings.token, settings.repository);
  if (refused !== null) return refused;
  const path = asked.path.slice(`/repos/${settings.repository}`.length);
  if (path === '' && asked.method === 'GET') return { status: 200, body: { full_name: settings.repository, default_branch: settings.defaultBranch } };
  const branch = /^\/rules\/branches\/(.+)$/.exec(path)?.[1];
  if (branch !== undefined && asked.method === 'GET')
    return settings.plan === 'free' ? UPGRADE : { status: 200, body: page(branchRules(settings, branch), asked.query) };
  if (/^\/rulesets(\/\d+)?$/.test(path)) return rulesets(repository, asked);
  const [, file, verb] = /^\/actions\/workflows\/([\w.-]+)(?:\/(\w+))?$/.exec(path) ?? [];
  if (file !== undefined) return workflows(repository, asked.method, file, verb);
  const environment = /^\/environments\/(.+)$/.exec(path)?.[1];
  if (environment !== undefined) return environments(repository, asked, environment);
  const [variable, name] = /^\/actions\/variables(?:\/(\w+))?$/.exec(path) ?? [];
  if (variable !== undefined && (name !== undefined || asked.method === 'POST')) return variables(repository, asked, name);
  return NOT_FOUND;
}

await serve<Control>((url, ledger) => {
  const repository = new Repository(url, ledger);
  return {
    api: (asked) => api(repository, asked),
    control: ({ rulesetsMore = [], faults: _, calm: __, reset: ___, ...settings }) => {
      Object.assign(repository.settings, settings);
      for (const ruleset of rulesetsMore) repository.add(ruleset);
    },
    state: () => repository.settings,
  };
});
