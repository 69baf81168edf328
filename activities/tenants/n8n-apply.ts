/** Deactivates or deletes one workflow. Nothing in n8n is a conditional write, so each write is made right after a look. */
import { z } from 'zod';
import type { Receipt } from '../../model/state.ts';
import { AdapterError } from '../adapters/adapter.ts';
import { HttpError } from '../adapters/http.ts';
import { isPublished, read, readWhole, unfinished, type Session, type Workflow } from './n8n-api.ts';
import { keep, keptBefore, type Kept } from './n8n-kept.ts';
import { ownershipOf, type N8nOptions } from './n8n-options.ts';
import type { ArtifactCall } from './platform.ts';

type Call = ArtifactCall<N8nOptions>;

const seen = ({ id, name, active, activeVersionId, versionId, isArchived, tags }: Workflow): Record<string, unknown> => ({
  id,
  name,
  active,
  activeVersionId,
  versionId,
  isArchived,
  tags: tags.map((tag) => tag.name),
});

function refuseGuarded(session: Session, workflow: Workflow, action: string): void {
  const { guarded } = ownershipOf(session.call.options, session.call.tenant, workflow);
  if (guarded !== null) throw session.error('protected', action, `workflow ${workflow.id} ${JSON.stringify(workflow.name)} is not touched: ${guarded}`);
}

/** What no longer is there is no failure to whoever wanted it gone. */
async function unlessGone(write: Promise<unknown>): Promise<void> {
  await write.catch((error: unknown) => {
    if (!(error instanceof AdapterError) || error.kind !== 'not-found') throw error;
  });
}

const unpublish = (session: Session, id: string): Promise<unknown> =>
  session.request({ action: 'unpublish', method: 'POST', path: `/workflows/${id}/unpublish`, answer: z.unknown() });

async function remarkOn(session: Session, id: string): Promise<string> {
  const count = await unfinished(session, id);
  if (count === null) return 'How many executions were running is not known: the key lacks the scope execution:list.';
  return count === '0' ? '' : `${count} executions were running or waiting, and unpublishing does not stop them.`;
}

const detail = (...parts: string[]): Pick<Receipt, 'detail'> => {
  const said = parts.filter((part) => part !== '').join(' ');
  return said === '' ? {} : { detail: said };
};

export async function deactivate(session: Session, { artifact: { id } }: Call): Promise<Receipt> {
  const workflow = await read(session, id);
  if (workflow === null) throw session.error('not-found', 'deactivate', `there is no workflow ${id}`);
  refuseGuarded(session, workflow, 'deactivate');
  if (!isPublished(workflow)) return { before: seen(workflow), after: seen(workflow), ids: { workflow: id }, detail: 'It was not published any more.' };
  const remark = await remarkOn(session, id);
  const now = await unpublished(session, id, 'deactivate');
  if (now === null) throw session.error('not-found', 'deactivate', `workflow ${id} has been deleted meanwhile`);
  return { before: seen(workflow), after: seen(now), ids: { workflow: id }, ...detail(remark) };
}

/** Unpublished and looked at again; null where it is gone. */
async function unpublished(session: Session, id: string, action: string): Promise<Workflow | null> {
  // Whatever came between, a backup or a count, whose it is is looked at right before the write.
  const before = await read(session, id);
  if (before === null) return null;
  refuseGuarded(session, before, action);
  if (isPublished(before)) {
    session.say(`unpublishing workflow ${id}`);
    await unlessGone(unpublish(session, id));
  }
  const after = await read(session, id);
  if (after !== null && isPublished(after)) throw session.error('conflict', action, `workflow ${id} is published again; somebody else works on it`);
  return after;
}

/** n8n takes the routes away a moment after it says that a workflow is unpublished, and deletes nothing before. */
const STILL_UNPUBLISHING = /still being unpublished/i;
const PAUSE_MS = 250;

async function untilDeleted(session: Session, { id, versionId }: Workflow, { file }: Kept): Promise<void> {
  const until = Date.now() + session.call.options.settleSeconds * 1000;
  for (;;) {
    const now = await unpublished(session, id, 'delete');
    if (now === null) return;
    // Somebody may have changed the tags while it was being unpublished, and this cannot be taken back.
    refuseGuarded(session, now, 'delete');
    if (now.versionId !== versionId)
      throw session.error('conflict', 'delete', `workflow ${id} was changed since it was kept in ${file}; somebody else works on it`);
    session.say(`deleting workflow ${id}`);
    try {
      await unlessGone(session.request({ action: 'delete', method: 'DELETE', path: `/workflows/${id}`, answer: z.unknown() }));
      return;
    } catch (error) {
      if (!(error instanceof HttpError) || error.status !== 409 || !STILL_UNPUBLISHING.test(error.reason) || Date.now() >= until) throw error;
    }
    session.say(`waiting until n8n has taken away the routes of workflow ${id}`);
    await session.pause(PAUSE_MS);
  }
}

export async function remove(session: Session, { artifact: { id }, folder, operationId }: Call): Promise<Receipt> {
  const found = await readWhole(session, id);
  if (found === null) {
    const kept = await keptBefore(folder, operationId, id);
    if (kept === null) throw session.error('not-found', 'delete', `there is no workflow ${id}`);
    return deleted(id, null, kept, 'An earlier attempt of this rollback had kept it, and it is gone.');
  }
  const { workflow, whole } = found;
  refuseGuarded(session, workflow, 'delete');
  const kept = await keep(folder, operationId, workflow, whole);
  const remark = await remarkOn(session, id);
  await untilDeleted(session, workflow, kept);
  if ((await read(session, id)) !== null) throw session.error('failed', 'delete', `n8n still has workflow ${id}`);
  return deleted(id, workflow, kept, remark);
}

const deleted = (id: string, before: Workflow | null, kept: Kept, remark: string): Receipt => ({
  before: before === null ? { id } : seen(before),
  after: { id, presence: 'absent' },
  ids: { workflow: id, backup: kept.file, sha256: kept.sha256 },
  ...detail(`The whole workflow is kept in ${kept.file}, the only copy.`, remark),
});
