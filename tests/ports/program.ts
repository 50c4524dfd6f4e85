import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How long a program of its own lives, and what it prints; it imports `name` from a `file` of `src/ports`, as source. */
export function program(file: string, name: string, body: string): { out: string; ms: number } {
  const path = fileURLToPath(new URL(`../../src/ports/${file}`, import.meta.url));
  const begun = performance.now();
  const source = `import { ${name} } from ${JSON.stringify(path)};\n${body}`;
  const flags = ['--no-warnings', '--input-type=module', '--experimental-strip-types'];
  const out = execFileSync(process.execPath, [...flags, '-e', source], { encoding: 'utf8', timeout: 10_000 });
  return { out: out.trim(), ms: performance.now() - begun };
}
