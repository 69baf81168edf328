/** What levels 2 and 3 leave to be done: what was lost is looked after, what was found broken is found out about, what is kept is disposed of. */
import { count } from './data-words.ts';
import type { DataReport } from './data.ts';
import type { FollowUp } from './follow-ups.ts';

/** `lead`, `security`: who is Data and Evidence Lead, and Security Lead. */
export function dataFollowUps(data: DataReport, { lead, security }: { readonly lead: string; readonly security: string }): FollowUp[] {
  const follow = (action: string, owner: string, source: string): FollowUp => ({ action, owner, due: null, source });
  return [
    ...data.lost.map((one) =>
      one.step.startsWith('evidence.')
        ? follow(`Find out who broke ${one.what.replace(/^the proof of /, '')}, and when; it is preserved as it is`, lead, `broken before, ${one.step}`)
        : follow(
            `Settle with whom it concerns what was lost by design: ${one.what}${one.rows === null ? '' : ` (${count(one.rows, 'row')})`}`,
            lead,
            `lost by design, ${one.step}`,
          ),
    ),
    ...data.databases.flatMap(({ name, recovered }) => {
      const { kept = null, connected = [], step = '' } = recovered?.switched ?? {};
      return [
        ...(kept === null ? [] : [follow(`Decide what becomes of ${kept}, the ${name} that was in use: it is kept, read-only`, lead, step)]),
        ...(connected.length === 0 || kept === null
          ? []
          : [follow(`See that nothing is connected to ${kept} any more; ${connected.join(', ')} still was`, lead, step)]),
        ...(recovered?.switched?.byHand
          ? [
              follow(
                `See that the ${name} that was in use takes no writes any more, and decide what becomes of it: people have switched over by hand`,
                lead,
                step,
              ),
            ]
          : []),
        ...(recovered &&
        recovered.switched?.kept === null &&
        !recovered.switched.byHand &&
        recovered.into !== null &&
        recovered.failure === null &&
        recovered.at !== null
          ? [follow(`Decide what becomes of ${recovered.into}, into which ${name} was recovered: nobody was switched over to it`, lead, recovered.step)]
          : []),
      ];
    }),
    ...(data.credentials?.rotated ?? []).flatMap((one) =>
      one.state === 'open'
        ? [follow(`Finish the rotation of ${one.name}: ${one.log.at(-1)?.what ?? 'nothing of it was done'}`, security, `credential ${one.name}`)]
        : [],
    ),
    ...(data.credentials?.byHand ?? []).flatMap((one) =>
      one.state === 'confirmed' ? [] : [follow(`Rotate ${one.name} by hand`, security, `rotate.${one.name}`)],
    ),
    ...(data.credentials?.signed?.elsewhere ?? []).map((one) => follow(`Rotate by hand what Backout does not know: ${one}`, security, 'credentials')),
  ];
}
