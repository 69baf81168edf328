/** One line per kind of chain, in the order of the alphabet. */
export { postgres } from './postgres.ts';
