/**
 * Which statements are known to destroy nothing. A list of what is allowed: whatever is not on it needs a person's word. What a customer's own operators,
 * casts and event triggers do beside a statement is not seen.
 */
import type { Node } from 'libpg-query';
import { fieldsOf, kindOf, some, textsOf } from './postgres-tree.ts';

/**
 * They make something, or say something about it. Not on it: INSERT, UPDATE, DELETE, MERGE and COPY (rows, and triggers), DO and CALL (anything),
 * ALTER SEQUENCE (its position), REFRESH (rows), CREATE EVENT TRIGGER (acts on what follows), ALTER SYSTEM and all that is larger than this database.
 */
const HARMLESS: ReadonlySet<string> = new Set(
  `IndexStmt ViewStmt CreateFunctionStmt CreateTrigStmt CreateSchemaStmt CreateSeqStmt CreateEnumStmt CreateDomainStmt CompositeTypeStmt CreateRangeStmt
   DefineStmt CreatePolicyStmt AlterPolicyStmt CreateStatsStmt CreateStmt CreateTableAsStmt CreateExtensionStmt CreateCastStmt RuleStmt SelectStmt
   CommentStmt GrantStmt AlterDefaultPrivilegesStmt AlterOwnerStmt AlterFunctionStmt AlterEnumStmt AlterDomainStmt RenameStmt AlterObjectSchemaStmt
   LockStmt ConstraintsSetStmt VariableSetStmt VacuumStmt ReindexStmt ClusterStmt`.split(/\s+/),
);

/** Of a SELECT: rows are written by it all the same. */
const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

export const isHarmless = (node: Node): boolean => HARMLESS.has(kindOf(node)) && !some(runNow(node), (key) => WRITES.has(key));

/** Without CASCADE these are refused by Postgres where data depends on them. Not on it: sequences (their position), extensions (their own tables). */
const DROPS: ReadonlySet<string> = new Set(
  `INDEX VIEW FUNCTION PROCEDURE ROUTINE AGGREGATE TRIGGER RULE POLICY STATISTIC_EXT TYPE DOMAIN SCHEMA OPERATOR OPCLASS OPFAMILY CAST COLLATION CONVERSION
   EVENT_TRIGGER TRANSFORM TSCONFIGURATION TSDICTIONARY TSPARSER TSTEMPLATE`.split(/\s+/),
);
export const isHarmlessDrop = (removeType: string): boolean => DROPS.has(removeType.replace('OBJECT_', ''));

/** Of ALTER TABLE. Not on it: other types and expressions (values), unlogged (lost at a crash), identities (their position), detaching. */
const COMMANDS: ReadonlySet<string> = new Set(
  `AddColumn ColumnDefault DropNotNull SetNotNull DropExpression SetStatistics SetOptions ResetOptions SetStorage SetCompression AddConstraint AlterConstraint
   ValidateConstraint DropConstraint ChangeOwner ClusterOn DropCluster SetLogged SetRelOptions ResetRelOptions EnableTrig EnableAlwaysTrig EnableReplicaTrig
   DisableTrig EnableTrigAll DisableTrigAll EnableTrigUser DisableTrigUser EnableRule EnableAlwaysRule EnableReplicaRule DisableRule AddInherit ReplicaIdentity
   EnableRowSecurity DisableRowSecurity ForceRowSecurity NoForceRowSecurity AttachPartition AddIdentity`.split(/\s+/),
);
export const isHarmlessCommand = (subtype: string): boolean => COMMANDS.has(subtype.replace('AT_', ''));

/** What they name is run later, by somebody else. */
const DEFINES: ReadonlySet<string> = new Set(
  `CreateFunctionStmt ViewStmt CreateTrigStmt CreatePolicyStmt AlterPolicyStmt RuleStmt CreateDomainStmt`.split(/\s+/),
);
/** What of it is run with it. */
const runNow = (node: Node): unknown => (DEFINES.has(kindOf(node)) ? null : 'CreateStmt' in node ? node.CreateStmt.partbound : node);

const FUNCTIONS: ReadonlySet<string> = new Set(
  `now clock_timestamp statement_timestamp transaction_timestamp timezone date_trunc date_part extract age to_char to_date to_timestamp make_interval
   gen_random_uuid random md5 sha256 encode decode lower upper initcap btrim ltrim rtrim trim length char_length octet_length concat
   concat_ws replace substring substr left right position split_part regexp_replace format abs round ceil floor count sum min max avg array_agg
   string_agg array_length unnest array_to_string jsonb_build_object json_build_object jsonb_build_array to_json to_jsonb jsonb_set to_tsvector setweight
   generate_series nextval current_schema current_setting pg_typeof row_number rank`.split(/\s+/),
);

const callsOf = (node: unknown): string[][] => {
  const calls: string[][] = [];
  for (const [key, value] of fieldsOf(node))
    if ((key === 'FuncCall' || key === 'funccall') && typeof value === 'object' && value !== null && 'funcname' in value) calls.push(textsOf(value.funcname));
  return calls;
};

/** Functions that run with the statement, and that nobody here knows. */
export const strangeFunctions = (node: Node): string[] =>
  !HARMLESS.has(kindOf(node)) && kindOf(node) !== 'AlterTableStmt'
    ? [] // It has an entry anyhow.
    : callsOf(runNow(node))
        .filter((parts) => !(FUNCTIONS.has(parts.at(-1) ?? '') && (parts.length === 1 || parts[0] === 'pg_catalog')))
        .map((parts) => parts.join('.'));

const SETTINGS: ReadonlySet<string> = new Set(['check_function_bodies', 'client_min_messages']);
const FORBIDDEN: ReadonlySet<string> = new Set(['set_config', 'pg_terminate_backend', 'pg_cancel_backend']);

/** Why it is never run, as the end of a sentence about it; null: it can be. */
export function refusalOf(node: Node): string | null {
  if ('TransactionStmt' in node) return 'begins or ends a transaction';
  if ('VariableSetStmt' in node && !SETTINGS.has(node.VariableSetStmt.name ?? '')) return `sets ${node.VariableSetStmt.name ?? 'every setting'} under Backout`;
  if ('DiscardStmt' in node) return 'discards the session that Backout works in';
  if ('CopyStmt' in node && node.CopyStmt.is_program) return 'runs a program on the server of the database';
  if ('CopyStmt' in node && node.CopyStmt.filename === undefined) return 'copies from or to a client that is not there';
  const forbidden = callsOf(runNow(node)).find((parts) => FORBIDDEN.has(parts.at(-1) ?? ''));
  return forbidden === undefined ? null : `calls ${forbidden.join('.')}()`;
}
