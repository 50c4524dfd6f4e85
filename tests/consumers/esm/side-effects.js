// Imports the module named on the command line and reports everything that import started, drew or left behind.
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const seen = [];
watch(globalThis, ['setTimeout', 'setInterval', 'setImmediate', 'AbortController', 'FinalizationRegistry']);
watch(AbortSignal, ['timeout', 'any']);
watch(Math, ['random']);
watch(Date, ['now']);
watch(performance, ['now']);
watch(process, ['on', 'once', 'emitWarning']);
syncBuiltinESMExports();
const properties = Reflect.ownKeys(globalThis);

await import(process.argv[2]);

for (const key of Reflect.ownKeys(globalThis)) if (!properties.includes(key)) seen.push(`globalThis[${String(key)}]`);
console.log(JSON.stringify(seen));

function watch(owner, names) {
  for (const name of names) {
    owner[name] = new Proxy(owner[name], {
      apply: (target, self, args) => {
        if (isOurs()) seen.push(name);
        return Reflect.apply(target, self, args);
      },
      construct: (target, args) => {
        if (isOurs()) seen.push(name);
        return Reflect.construct(target, args);
      },
    });
  }
}

/** Node's own loader uses some of these while it loads a module, and so may the packages we depend on. */
function isOurs() {
  return new Error().stack.split('\n')[3]?.includes('node_modules/seaworthy/') ?? false;
}
