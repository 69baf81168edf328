/** What a deprovisioning could not know by itself [000], and what to change so that the next one does. */
import type { Findings } from './follow-ups.ts';
import type { Safeguard } from './safeguards.ts';
import { count } from './tenant-words.ts';

export const tenantSafeguards = ({ reading, tenant }: Pick<Findings, 'reading' | 'tenant'>): Safeguard[] => {
  if (!tenant) return [];
  const unlisted = tenant.artifacts.filter((one) => one.requests === null);
  const [said, ...more] = tenant.artifacts.filter((one) => one.known === 'said' && one.type === 'vapi-assistant');
  return [
    ...(unlisted.length === 0
      ? []
      : [
          {
            gap: `${count(unlisted.length, 'artifact carries', 'artifacts carry')} the tenant's mark, and no Canonical Object lists ${unlisted.length === 1 ? 'it' : 'them'}`,
            change: 'have provisioning list what it makes in tenant_config, as soon as it has made it',
            where: 'runbook' as const,
            seenIn: 'inventory',
          },
        ]),
    ...(said === undefined
      ? []
      : [
          {
            gap: `${count(more.length + 1, 'VAPI assistant is', 'VAPI assistants are')} removed by a person's word alone: nobody could look`,
            change: `add a platform vapi with a read key under environments.${reading.state.environment}.tenants.platforms`,
            where: 'backout.yaml' as const,
            seenIn: said.step ?? 'remnants',
          },
        ]),
  ];
};
