/** `backout demo`: the main jobs on real small services, told step by step, with the very commands a user would type. */
import { resolve } from 'node:path';
import { Argument, type Command } from 'commander';
import { demoGrave } from '../demo/grave.ts';
import { demoIncident } from '../demo/incident.ts';
import { demoRevert } from '../demo/revert.ts';
import { demoTenant } from '../demo/tenant.ts';

const PLAYS = { revert: demoRevert, l1: demoIncident, l3: demoGrave, upa: demoTenant } as const;

export function register(program: Command): void {
  program
    .command('demo')
    .addArgument(
      new Argument(
        '[play]',
        'revert: a bad release is taken back; l1: an incident is rolled back; l3: it grows to data, evidence and credentials; upa: a tenant is offboarded',
      )
        .choices(Object.keys(PLAYS))
        .default('revert'),
    )
    .description('the main job on a real small service: a bad release is deployed, found out, and taken back')
    .addHelpText('after', '\nExamples:\n  $ backout demo\n  $ backout demo l1\n  $ backout demo l3\n  $ backout demo upa')
    .action(async (play: keyof typeof PLAYS) => {
      process.exitCode = await PLAYS[play](resolve(play === 'revert' ? '.backout/demo' : `.backout/demo-${play}`));
    });
}
