/** Promotions: a disabled workflow cannot be started by anybody; runs that have begun go on. */
import { z } from 'zod';
import { read, understood, write, type Found, type Holder, type Session } from './github-api.ts';

const workflowSchema = z.object({ id: z.number(), state: z.string(), html_url: z.string() });
const ACTIVE = 'active';
const beforeSchema = z.string();

export function workflowHolder(file: string): Holder {
  const name = `workflow ${file}`;
  const path = `/actions/workflows/${file}`;

  const look = async (session: Session): Promise<Found> => {
    const { id, state, html_url: url } = await read(session, `reading ${name}`, path, workflowSchema);
    // The list of states is open; only what is known to stop a workflow counts.
    const frozen = state === 'deleted' || state.startsWith('disabled_');
    return {
      part: { name, scope: 'promotions', frozen, detail: `${state} (${url})` },
      id,
      asSet: state === 'disabled_manually',
      fault: null,
      before: state,
      presumed: undefined,
      isBack: () => state === ACTIVE,
      freeze: () => write(session, `disabling ${name}`, 'PUT', `${path}/disable`),
      thaw: (before) => {
        understood(session, name, beforeSchema, before);
        return write(session, `enabling ${name}`, 'PUT', `${path}/enable`);
      },
    };
  };
  return { name, scope: 'promotions', look };
}
