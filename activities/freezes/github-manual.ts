/** The freeze by hand, with `gh` and the operator's own login, for the night when Backout is down. */
import { webHost } from '../adapters/github-actions-runs.ts';
import type { Call } from './github-api.ts';
import { environmentPart } from './github-environment.ts';
import { noteName } from './github-note.ts';
import type { GithubFreezeOptions } from './github-options.ts';
import { rulesetContent } from './github-ruleset.ts';

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

interface Gh {
  /** `gh api`, against the right host. */
  readonly api: string;
  readonly repository: string;
  readonly hosted: string;
}

/** Reads, and sends what `jq` makes of it back; never an empty body where the reading failed, which would replace all with nothing. */
const replaced = (api: string, path: string, jq: string): string =>
  `body="$(${api} ${path} --jq ${jq})" && printf '%s' "$body" | ${api} --method PUT ${path} --input -`;

function rulesetLines({ api, repository }: Gh, options: GithubFreezeOptions, action: 'set' | 'lift'): string[] {
  const list = quoted(`repos/${repository}/rulesets?includes_parents=false&per_page=100`);
  const find = `id="$(${api} --paginate ${list} --jq ${quoted(`.[] | select(.name == ${JSON.stringify(options.ruleset)}) | .id`)} | sort -n | head -n 1)"`;
  if (action === 'set') {
    const body = { name: options.ruleset, target: 'branch', enforcement: 'active', ...rulesetContent(options), rules: [{ type: 'update' }] };
    const method = '"$(test -n "$id" && echo PUT || echo POST)"';
    return [find, `printf '%s' ${quoted(JSON.stringify(body))} | ${api} --method ${method} "repos/${repository}/rulesets\${id:+/$id}" --input -`];
  }
  const disabled = '{name, target, enforcement: "disabled", bypass_actors, conditions, rules}';
  const path = `"repos/${repository}/rulesets/$id"`;
  return [find, replaced(api, path, quoted(disabled))];
}

/** The reviewers of before are kept in a file of the current folder; Backout's own note goes before what is there now, which may be its freeze. */
function environmentLines({ api, repository }: Gh, options: GithubFreezeOptions, environment: string, action: 'set' | 'lift'): string[] {
  const path = quoted(`repos/${repository}/environments/${encodeURIComponent(environment)}`);
  const file = quoted(`reviewers-before-freeze-${environment.replaceAll(/[^\w.-]+/g, '-')}.json`);
  const rule = (type: string): string => `.protection_rules[]? | select(.type == "${type}")`;
  const reviewers = `[${rule('required_reviewers')} | .reviewers[] | {type, id: .reviewer.id}]`;
  const noted = `.value | fromjson | .parts[${JSON.stringify(environmentPart(environment))}].was.reviewers // error("nothing is noted of it")`;
  const note = `${api} ${quoted(`repos/${repository}/actions/variables/${noteName(options)}`)} --jq ${quoted(noted)} > ${file}`;
  const parts = [
    `wait_timer: ([${rule('wait_timer')} | .wait_timer][0] // 0)`,
    `prevent_self_review: ([${rule('required_reviewers')} | .prevent_self_review][0] // false)`,
    'deployment_branch_policy: .deployment_branch_policy',
  ];
  const rest = '} + (if has("can_admins_bypass") then {can_admins_bypass} else {} end)';
  const put = (goal: string): string => replaced(api, path, `${quoted(`{${parts.join(', ')}, reviewers: `)}${goal}${quoted(rest)}`);
  return action === 'set'
    ? [`test -s ${file} || ${note} || ${api} ${path} --jq ${quoted(reviewers)} > ${file}`, put(quoted(JSON.stringify(options.rollbackOwners)))]
    : [`test -s ${file} || ${note} || rm -f ${file}`, `${put(`"$(cat ${file})"`)} && rm ${file}`];
}

export function manual({ options, scopes }: Pick<Call, 'environment' | 'name' | 'options' | 'scopes'>, action: 'set' | 'lift'): string[] {
  const host = webHost(options.apiUrl);
  const { repository } = options;
  const gh: Gh = {
    api: host === 'github.com' ? 'gh api' : `gh api --hostname ${quoted(host)}`,
    repository,
    hosted: `--repo ${quoted(host === 'github.com' ? repository : `${host}/${repository}`)}`,
  };
  const lines = [
    ...(scopes.includes('merges') ? rulesetLines(gh, options, action) : []),
    ...(scopes.includes('promotions')
      ? options.promotionWorkflows.map((file) => `gh workflow ${action === 'set' ? 'disable' : 'enable'} ${quoted(file)} ${gh.hosted}`)
      : []),
    ...(scopes.includes('deployments') ? options.environments.flatMap((environment) => environmentLines(gh, options, environment, action)) : []),
  ];
  if (action === 'set' || lines.length === 0) return lines;
  const name = noteName(options);
  return [
    '# What was there before, where Backout itself set the freeze:',
    `gh variable get ${name} ${gh.hosted}`,
    ...lines,
    '# When all is put back:',
    `gh variable delete ${name} ${gh.hosted}`,
  ];
}
