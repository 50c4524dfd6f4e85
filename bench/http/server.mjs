import { createServer } from 'node:http';

// The other side, in a process of its own: 1.2 kB of JSON for whatever is asked.
const items = Array.from({ length: 20 }, (_, id) => ({ id, name: `an item with the number ${id}`, price: 1_000 + id }));
const body = Buffer.from(JSON.stringify({ items }));
const head = { 'content-type': 'application/json', 'content-length': body.length };

const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => response.writeHead(200, head).end(body));

process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
