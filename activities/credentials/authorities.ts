/** One line per authority of credentials, in the order of the alphabet. */
export { keyFiles } from './key-files.ts';
