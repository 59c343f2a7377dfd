// A recording proxy between a client and the server: node tee.mjs DIRECTORY COMMAND [ARG...]
//
// Bytes go through unchanged, in both directions. DIRECTORY/<pid>.jsonl gets one record a line
// that passed: {"from":"client"|"server","line":...} ("bytes" in base64 when the line is not
// UTF-8 or has no newline at its end), and first {"server":PID}, last {"exit":CODE,"signal":NAME}.
// Signals are passed on, an end of file too, and the exit status is the server's.
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, writeSync } from 'node:fs';
import { isUtf8 } from 'node:buffer';

const [directory, command, ...args] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const file = openSync(`${directory}/${process.pid}.jsonl`, 'a');
const record = (entry) => writeSync(file, JSON.stringify(entry) + '\n');

const server = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
record({ server: server.pid });

function recorder(from) {
  let parts = [];
  const line = (bytes, complete) => {
    if (complete && isUtf8(bytes)) record({ from, line: bytes.toString() });
    else record({ from, bytes: bytes.toString('base64') });
  };
  return {
    data(chunk) {
      let start = 0;
      for (let end; (end = chunk.indexOf(10, start)) !== -1; start = end + 1) {
        line(Buffer.concat([...parts, chunk.subarray(start, end)]), true);
        parts = [];
      }
      if (start < chunk.length) parts.push(chunk.subarray(start));
    },
    end() {
      if (parts.length) line(Buffer.concat(parts), false);
      parts = [];
    },
  };
}

const fromClient = recorder('client');
process.stdin.on('data', fromClient.data).on('end', fromClient.end);
process.stdin.pipe(server.stdin);
server.stdin.on('error', () => {}); // it no longer reads: its own affair

const fromServer = recorder('server');
server.stdout.on('data', fromServer.data).on('end', fromServer.end);
server.stdout.pipe(process.stdout);
process.stdout.on('error', () => server.stdout.destroy()); // the client no longer reads

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => server.kill(signal));
server.on('error', (error) => {
  record({ failed: error.message });
  process.exit(127);
});
server.on('close', (code, signal) => {
  record({ exit: code, signal });
  process.exit(code ?? 1);
});
