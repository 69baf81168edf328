/** One line per source of configuration, in the order of the alphabet. */
export { envFile } from './env-file.ts';
