// A program for Vercel Sandbox as anybody would write it: it knows nothing of sandquay.
import { Sandbox } from '@vercel/sandbox';
import { WebSocket } from 'ws';

const sandbox = await Sandbox.create({ token: 'tok_opaque', teamId: 'team_test', projectId: 'prj_test', name: 'plain', ports: [3000] });
await sandbox.writeFiles([{ path: 'hello.txt', content: 'hello' }]);
const out = await (await sandbox.runCommand('cat', ['hello.txt'])).stdout();
const { url, token } = await sandbox.openInteractive();
const health = (await fetch(`https://${new URL(url).hostname}/health`)).status;
const terminal = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
let shown = '';
let code;
terminal.on('message', (data, binary) => { if (binary) shown += data; else ({ code } = JSON.parse(data)); });
terminal.on('open', () => terminal.send(JSON.stringify({ type: 'start', command: 'sh', args: ['-c', 'echo "$0"; tty; exit 6'], env: [], cwd: sandbox.currentSession().cwd, cols: 80, rows: 24 })));
await new Promise((resolve, reject) => { terminal.on('close', resolve); terminal.on('error', reject); });
const { snapshot } = await sandbox.stop();
await sandbox.delete({ deleteOrphanSnapshots: true });
console.log(JSON.stringify({ out, health, url, shown, code, snapshot: snapshot.status, domain: sandbox.domain(3000) }));
