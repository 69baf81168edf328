/** Deleted rows that are put back from an audit log, as a plan shows them [004 section 3.4]. */
/** Rows that an audit log would bring back, counted. */
export interface Restoring {
  readonly name: string;
  readonly table: string;
  readonly missing: number;
  readonly changed: number;
  /** The missing ones by whose they are; absent where the table does not say. */
  readonly tenants?: readonly { readonly tenant: string; readonly rows: number }[];
}

/** Of whose rows, where the table says it; most first. */
const tenantsOf = ({ tenants = [] }: Restoring): string =>
  tenants.length === 0 ? '' : ` (${tenants.map(({ tenant, rows }) => `${tenant} ${rows}`).join(', ')})`;

export const restoreTitle = (of: Restoring): string =>
  `Put back ${of.missing} deleted rows of ${of.table}${tenantsOf(of)} from the audit log${of.changed > 0 ? `; ${of.changed} that were made anew since stay as they are` : ''}`;
