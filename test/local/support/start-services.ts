/** `backout dev` in small: starts the services in the folder given, prints them as one line, stops them at SIGINT. */
import { LocalProblem } from '../../../client/local/problem.ts';
import { startServices } from '../../../client/local/services.ts';

const [folder = '.'] = process.argv.slice(2);
try {
  const services = await startServices({ folder, temporalPort: 0, uiPort: 0, postgresPort: 0, progress: (line) => process.stderr.write(`${line}\n`) });
  process.once('SIGINT', () => {
    void services.stop().then(() => process.exit(0));
  });
  process.stdout.write(`${JSON.stringify(services)}\n`);
} catch (error) {
  if (!(error instanceof LocalProblem)) throw error;
  process.stdout.write(`${JSON.stringify({ problem: error.type, message: error.message, remedy: error.remedy })}\n`);
  process.exitCode = 1;
}
