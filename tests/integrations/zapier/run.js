// Runs the Zapier app in Zapier's own core. One JSON object a line comes in, {"method", "bundle"}, and one goes out:
// {"results"}, or {"error": {"name", "message"}}. The method is a path in the app, or "validate".
'use strict';

const path = require('node:path');
const readline = require('node:readline');

const folder = path.resolve(process.argv[2]);
const zapier = require(path.join(folder, 'node_modules', 'zapier-platform-core'));
const App = require(folder);

console.log = () => {}; // the core's own remarks
const appTester = zapier.createAppTester(App);
const answer = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);
const at = (method) => method.split('.').reduce((place, name) => place[name], App);

const call = async ({ method, bundle }) => {
  if (method === 'validate') {
    return (await zapier.createAppHandler(App)({ command: 'validate' })).results;
  }
  return method.startsWith('?') ? at(method.slice(1)) : appTester(at(method), bundle);
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      answer({ results: (await call(JSON.parse(line))) ?? null });
    } catch (error) {
      answer({ error: { name: error.name, message: error.message } });
    }
  }
})();
