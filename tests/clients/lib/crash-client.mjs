// A client that is going to be killed: node crash-client.mjs SERVER [MARK]. It starts the server and,
// with a mark, a command that sleeps that long; a third process holds the other end of its stdin,
// so that the server sees no end of file. Prints {server, holder}.
import { spawn } from 'node:child_process';

const [command, mark] = process.argv.slice(2);
const server = spawn(command, ['serve'], { stdio: ['pipe', 'pipe', 'ignore'] });
const holder = spawn('sleep', ['1000'], { stdio: ['ignore', server.stdin, 'ignore'], detached: true });
const send = (message) => server.stdin.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');

server.stdout.once('data', () => {
  send({ method: 'notifications/initialized' });
  if (mark) send({ id: 2, method: 'tools/call', params: { name: 'execute_command', arguments: { command: `setsid sleep ${mark} & sleep ${mark}`, timeoutMs: 600000 } } });
  console.log(JSON.stringify({ server: server.pid, holder: holder.pid }));
});
send({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'crash', version: '1' } } });
setInterval(() => {}, 1000);
