/** One line per platform, in the order of the alphabet. */
export { googleCalendar } from './google-calendar.ts';
export { hubspot } from './hubspot.ts';
export { n8n } from './n8n.ts';
export { vapi } from './vapi.ts';
