import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

// The other side of stall.test.ts, in a process of its own: it holds what it is asked until all have asked, says so, and
// then answers everybody. The file tells a client that cannot hear us that every answer is in its socket.
let round = { expected: 0, done: '' };
let held = [];

const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => {
  held.push(response);
  if (held.length === round.expected) process.send('all here', () => setTimeout(answer, 30));
});

function answer() {
  let left = held.length;
  const answered = () => {
    if (--left === 0) writeFileSync(round.done, '');
  };
  for (const response of held) {
    // A client on a busy machine may have given up meanwhile, and its connection is gone.
    if (response.destroyed || response.socket === null || response.socket.destroyed) answered();
    else response.writeHead(200, { 'content-length': 2 }).once('close', answered).end('ok');
  }
  held = [];
}

process.on('message', (next) => {
  round = next;
  process.send('ready');
});
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
