/** Statements that Postgres does not run in a transaction, and what the catalog can tell of one that was begun and never heard of again. */
import type { Node } from 'libpg-query';
import { nameOf, type Name } from './postgres-tree.ts';

export type Alone =
  | { readonly as: 'drop-index'; readonly index: Name }
  /** Null: Postgres finds a name itself, and nobody can tell it from others. */
  | { readonly as: 'create-index'; readonly table: Name; readonly index: string | null }
  /** Once more does no harm. */
  | { readonly as: 'repeatable' }
  | { readonly as: 'other' };

const OTHERS: ReadonlySet<string> = new Set([
  'CreatedbStmt',
  'DropdbStmt',
  'CreateTableSpaceStmt',
  'DropTableSpaceStmt',
  'CreateSubscriptionStmt',
  'DropSubscriptionStmt',
]);

/** Null: it runs in a transaction. One that is missing here fails in its transaction, and nothing has changed. */
export function aloneOf(node: Node): Alone | null {
  if ('IndexStmt' in node && node.IndexStmt.concurrent) {
    const { relation, idxname = '' } = node.IndexStmt;
    const table = { schema: relation?.schemaname ?? null, name: relation?.relname ?? '' };
    return { as: 'create-index', table, index: idxname === '' ? null : idxname };
  }
  if ('DropStmt' in node && node.DropStmt.concurrent) {
    const [index] = (node.DropStmt.objects ?? []).flatMap(nameOf);
    return index === undefined ? { as: 'other' } : { as: 'drop-index', index };
  }
  const isRepeatable =
    ('VacuumStmt' in node && node.VacuumStmt.is_vacuumcmd === true) ||
    'AlterSystemStmt' in node ||
    ('ClusterStmt' in node && node.ClusterStmt.relation === undefined) ||
    ('ReindexStmt' in node && (isConcurrent(node.ReindexStmt.params) || /SCHEMA|SYSTEM|DATABASE/.test(node.ReindexStmt.kind ?? '')));
  if (isRepeatable) return { as: 'repeatable' };
  const detaches = 'AlterTableStmt' in node && (node.AlterTableStmt.cmds ?? []).some(detachesConcurrently);
  return detaches || Object.keys(node).some((kind) => OTHERS.has(kind)) ? { as: 'other' } : null;
}

const isConcurrent = (params: readonly Node[] = []): boolean => params.some((node) => 'DefElem' in node && node.DefElem.defname === 'concurrently');
const detachesConcurrently = (node: Node): boolean => {
  const { def } = 'AlterTableCmd' in node ? node.AlterTableCmd : {};
  return def !== undefined && 'PartitionCmd' in def && def.PartitionCmd.concurrent === true;
};
