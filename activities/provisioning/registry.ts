/** One line per store, in the order of the alphabet. */
export { postgres } from './postgres.ts';
