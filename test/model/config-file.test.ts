/** Mistakes in `backout.yaml`: the file, the line, and what was expected [product.md 8]. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, parseConfig } from '../../model/config-file.ts';

const GOOD = [
  'environments:', // 1
  '  production:', // 2
  '    components:', // 3
  '      web:', // 4
  '        type: storefront', // 5
  '        adapter: releases', // 6
  '        options: { root: ./srv/web }', // 7
  '        targetSeconds: 120', // 8
  '        served: { url: "http://127.0.0.1:8101/version", json: version }', // 9
  '        health: [{ url: "http://127.0.0.1:8101/healthz" }]', // 10
  '        smoke: [{ command: [./smoke], timeoutSeconds: 20 }]', // 11
  'people: { ana: { roles: [operator] } }', // 12
  'channels: { incident: [{ file: ./incidents.log }, { webhook: "env:INCIDENT_WEBHOOK" }] }', // 13
  '', // 14
].join('\n');

function mistake(change: (yaml: string) => string): string {
  try {
    parseConfig(change(GOOD), 'backout.yaml', '/srv');
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'no mistake';
}
const swap =
  (from: string, to: string) =>
  (yaml: string): string => {
    expect(yaml).toContain(from);
    return yaml.replace(from, to);
  };

describe('backout.yaml', () => {
  it('as the docs have it is taken, with its defaults', () => {
    const { config, folder } = parseConfig(GOOD, 'backout.yaml', '/srv');
    expect(folder).toBe('/srv');
    expect(config.environments['production']?.components['web']).toMatchObject({ adapter: 'releases', type: 'storefront', targetSeconds: 120 });
    expect(config.confirmations).toEqual({ remindAfterSeconds: 300, handOverAfterSeconds: 1800, handOverTo: 'on-call-lead', fourEyes: false });
    expect(config.people).toEqual({ ana: { roles: ['operator'] } });
  });

  it.each([
    ['an empty file', () => '', 'backout.yaml:1: environments: expected record, and it is missing'],
    [
      'a missing key',
      swap('        type: storefront\n', ''),
      'backout.yaml:4: environments.production.components.web.type: expected one of storefront, service, shop-agent, control-plane',
    ],
    [
      'a wrong type',
      swap('targetSeconds: 120', 'targetSeconds: soon'),
      'backout.yaml:8: environments.production.components.web.targetSeconds: expected number',
    ],
    ['an unknown key', swap('adapter: releases', 'adaptor: releases'), 'backout.yaml:6: environments.production.components.web.adaptor: no such setting here'],
    ['an unknown key at the top', swap('people:', 'persons:'), 'backout.yaml:12: persons: no such setting here'],
    [
      '[002 section 4] an external system as type',
      swap('type: storefront', 'type: external'),
      'backout.yaml:5: environments.production.components.web.type: expected one of storefront, service, shop-agent, control-plane',
    ],
    [
      '[002 section 13] a time target that would loosen the policy',
      swap('targetSeconds: 120', 'targetSeconds: 301'),
      'backout.yaml:8: environments.production.components.web.targetSeconds: too big: expected number to be <=300',
    ],
    [
      'a time target of nothing',
      swap('targetSeconds: 120', 'targetSeconds: 0'),
      'backout.yaml:8: environments.production.components.web.targetSeconds: too small: expected number to be >0',
    ],
    [
      'a URL that is none',
      swap('"http://127.0.0.1:8101/healthz"', 'healthz'),
      'backout.yaml:10: environments.production.components.web.health.0.url: expected an http or https URL',
    ],
    [
      'a URL of another scheme',
      swap('"http://127.0.0.1:8101/version"', '"file:///etc/passwd"'),
      'backout.yaml:9: environments.production.components.web.served.url: expected an http or https URL',
    ],
    [
      'a smoke test without a command',
      swap('command: [./smoke]', 'command: []'),
      'backout.yaml:11: environments.production.components.web.smoke.0.command: too small: expected array to have >=1 items',
    ],
    [
      'a name with capitals',
      swap('      web:', '      Web:'),
      'backout.yaml:4: environments.production.components.Web: lower-case letters, digits and hyphens',
    ],
    ['a person without a role', swap('roles: [operator]', 'roles: []'), 'backout.yaml:12: people.ana.roles: too small: expected array to have >=1 items'],
  ])('%s', (_, change, expected) => {
    expect(mistake(change)).toBe(expected);
  });

  it('YAML that is none says where', () => {
    expect(mistake(swap('options: { root: ./srv/web }', 'options: { root: ./srv/web'))).toMatch(/^backout\.yaml:\d+: \S/);
    expect(mistake(swap('        targetSeconds: 120', '\ttargetSeconds: 120'))).toMatch(/^backout\.yaml:8: /);
  });

  it('a key twice says where', () => {
    expect(mistake(swap('        targetSeconds: 120', '        type: service'))).toMatch(/^backout\.yaml:8: /);
  });

  it('tells every mistake, one a line', () => {
    const message = mistake((yaml) =>
      yaml.replace('type: storefront', 'type: external').replace('targetSeconds: 120', 'targetSeconds: 301').replace('people:', 'persons:'),
    );
    expect(message.split('\n')).toHaveLength(3);
  });

  it.each(['7', '"text"', '[]', 'null'])('%s is no configuration', (yaml) => {
    expect(mistake(() => yaml)).toMatch(/^backout\.yaml:1: /);
  });

  it('names that reach for the prototype are settings that do not exist', () => {
    expect(mistake((yaml) => `${yaml}constructor: 1\n`)).toBe('backout.yaml:14: constructor: no such setting here');
    expect(mistake((yaml) => `${yaml}__proto__: { a: 1 }\n`)).toMatch(/^backout\.yaml:14: /);
  });

  it("an adapter's options are checked in their place", () => {
    const loaded = parseConfig(GOOD, 'backout.yaml', '/srv');
    const schema = z.strictObject({ root: z.number(), port: z.number() });
    expect(() => loaded.check(schema, { root: './srv/web' }, ['environments', 'production', 'components', 'web', 'options'])).toThrow(
      new ConfigError([
        { file: 'backout.yaml', line: 7, path: 'environments.production.components.web.options.root', message: 'expected number' },
        { file: 'backout.yaml', line: 7, path: 'environments.production.components.web.options.port', message: 'expected number, and it is missing' },
      ]),
    );
  });
});
