/** One line per platform, in the order of the alphabet. */
export { github } from './github.ts';
