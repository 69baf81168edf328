/** What levels 2 and 3 have done to databases, evidence and credentials [001 steps 3c to 3e]: read from receipts and answers, never more than they say. */
import type { Window } from '../../model/plan.ts';
import { chainOf, type ChainReport } from './chains.ts';
import { credentialsOf, type CredentialsReport } from './credentials.ts';
import { databaseOf, HAND, type DatabaseReport } from './databases.ts';
import { lossesOf, type Lost } from './losses.ts';
import { planAt, type Reading } from './reading.ts';

export interface DataReport {
  /** The span in which data was damaged; null: none was known. */
  readonly window: Window | null;
  readonly databases: readonly DatabaseReport[];
  readonly chains: readonly ChainReport[];
  readonly credentials: CredentialsReport | null;
  /** By design: as it was approved, or as the source cannot have it otherwise. */
  readonly lost: readonly Lost[];
  /** Databases of which people alone can say what was lost. */
  readonly lostUntold: readonly string[];
}

/** Null: none of it was planned, as at level 1. */
export function dataOf(reading: Reading): DataReport | null {
  const steps = reading.steps.filter((step) => step.place !== undefined || step.id.startsWith(HAND) || step.id === 'credentials');
  if (steps.length === 0) return null;
  const named = (kind: string): string[] => [
    ...new Set(
      steps.flatMap(({ place, id }) =>
        place?.startsWith(kind) ? [place.slice(kind.length)] : kind === 'database/' && id.startsWith(HAND) ? [id.slice(HAND.length)] : [],
      ),
    ),
  ];
  const databases = named('database/').map((name) => databaseOf(reading, name));
  const chains = named('evidence/').map((name) => chainOf(reading, name));
  return {
    window: planAt(reading)?.window ?? null,
    databases,
    chains,
    credentials: credentialsOf(reading),
    lost: lossesOf(databases, chains),
    lostUntold: databases.flatMap((one) => (one.byHand ? [one.name] : [])),
  };
}
