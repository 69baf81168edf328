/** What stands in front of whoever has to say that no route of a tenant answers [000 Rollback Scope, webhook paths]. */
import { textOf } from './field.ts';
import type { StepView } from './state.ts';

/** What the probes of each webhook path have seen last. */
export function routeProofs(
  steps: readonly Pick<StepView, 'id' | 'state' | 'receipt'>[],
): { readonly path: string; readonly seen: string; readonly isGone: boolean }[] {
  return steps.flatMap(({ id, state, receipt }) => {
    if (!id.startsWith('webhook.')) return [];
    const seen = textOf(receipt?.after, 'detail') ?? (state === 'skipped' ? 'it was left, and nobody has looked' : 'nobody has looked');
    return [{ path: id.slice('webhook.'.length), seen, isGone: textOf(receipt?.after, 'presence') === 'absent' && state !== 'skipped' }];
  });
}
