/** Every kind of database that `backout.yaml` may name. */
export { postgres } from './postgres.ts';
