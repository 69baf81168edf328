/** Telling stakeholders [001 Communication Templates, 004 section 6]: rendered from the facts, to the channels of each audience. */
import { AUDIENCES, channelName, type Facts, type Template, TEMPLATES } from '../../model/communications.ts';
import { render } from '../../model/templates.ts';
import { post } from '../channels.ts';
import { StoreUnavailable } from '../../store/store.ts';
import { failed, fromError, operationIdOf, type Found } from '../found.ts';
import type { Scene } from './scene.ts';
import { driftOf } from './stability.ts';

/** Repeated after a crash it may tell a channel twice, under the same id; a file is looked at first. */
export async function communicate(scene: Scene): Promise<Found> {
  const { work, incident, loaded, attempt } = scene;
  const template = TEMPLATES.find((one): one is Template => one === incident.subject);
  if (!template || !incident.facts) return failed('Configuration', `there is no template ${incident.subject ?? ''}`);
  const drift = template === 'recovery' ? await driftSince(scene) : null;
  if (drift) return drift;
  const facts = template === 'recovery' ? await stillHeld(scene, incident.facts) : incident.facts;
  const texts = render(template, { ...facts, product: loaded.config.product });
  const sent: Record<string, string> = {};
  const undelivered: string[] = [];
  for (const audience of AUDIENCES) {
    const { subject, body } = texts[audience];
    const id = `${operationIdOf(work)}/${audience}`;
    const message = {
      id,
      notice: 'communication',
      at: incident.facts.at,
      template,
      audience,
      subject,
      body,
      rollbackId: work.rollbackId,
      workflowId: attempt.workflowId,
    };
    const results = await Promise.all(
      loaded.config.channels[audience].map((channel) =>
        post(loaded.folder, channel, message, attempt.signal).then(
          () => null,
          (error: unknown) => `${channelName(channel)}: ${error instanceof Error ? error.message : 'unknown error'}`,
        ),
      ),
    );
    undelivered.push(...results.filter((one) => one !== null).map((one) => `${audience}: ${one}`));
    sent[audience] = `${results.filter((one) => one === null).length} of ${results.length}`;
  }
  const receipt = { after: { subject: texts.stakeholders.subject, sent } };
  if (undelivered.length > 0) return { ...failed('Undelivered', `not everybody was told (${template}): ${undelivered.join('; ')}`), receipt };
  const nobody = loaded.config.channels.stakeholders.length === 0;
  return {
    state: 'done',
    receipt,
    failure: null,
    remains: [],
    ...(nobody ? { warnings: ['no channel for stakeholders is configured: what is to be told them is told nobody (channels.stakeholders)'] } : {}),
  };
}

/** What another incident has frozen too is not unblocked by this one. */
export async function stillHeld({ work, incident, deps }: Pick<Scene, 'work' | 'incident' | 'deps'>, facts: Facts): Promise<Facts> {
  const held = await deps.store.freezes({ environment: work.environment, inForceOnly: true }).catch((error: unknown) => {
    if (error instanceof StoreUnavailable) return [];
    throw error;
  });
  const others = held.filter((one) => one.incident !== incident.id);
  const by = (scope: string): string[] => others.flatMap((one) => (one.inForce.some((held) => held === scope) ? [one.incident] : []));
  return {
    ...facts,
    unfreezeScopes: facts.unfreezeScopes.filter((scope) => by(scope).length === 0),
    remaining: [
      ...facts.remaining,
      ...facts.unfreezeScopes.flatMap((scope) => (by(scope).length > 0 ? [`still frozen: ${scope}, by ${by(scope).join(', ')}`] : [])),
    ],
  };
}

/** "Complete" is said of what is so at this moment; it may be days ago that it was seen to be stable. */
async function driftSince(scene: Scene): Promise<Found | null> {
  try {
    return await driftOf(scene);
  } catch (error) {
    return fromError(scene.work, scene.attempt, error, { receipt: null, acted: false });
  }
}
