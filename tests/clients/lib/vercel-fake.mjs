// A stand-in for the Vercel Sandbox API, sections 5 to 10 of its reference, strict about what is
// sent to it. Its "microVMs" are directories of this machine, its commands real processes.
// vercel-sdk.test.mjs has the official SDK judge it; with fault() it fails in any way.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, chmodSync, constants, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { gunzipSync } from 'node:zlib';
import { readTar } from './tar.mjs';

const base62 = (n) => [...randomBytes(n)].map((b) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'[b % 62]).join('');
const LIVE = new Set(['running', 'pending']);

class Refusal extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}
const bad = (message) => new Refusal(400, 'bad_request', `Invalid request: ${message}`);

const responsePolicy = (policy) => policy.mode ? { mode: policy.mode } : {
  mode: 'custom', allowedDomains: Array.isArray(policy.allow) ? policy.allow : Object.keys(policy.allow ?? {}),
  allowedCIDRs: policy.subnets?.allow ?? [], deniedCIDRs: policy.subnets?.deny ?? [] };

const SETTINGS = ['name', 'ports', 'timeout', 'resources', 'runtime', 'image', 'source', 'persistent', 'networkPolicy', 'networkId',
  'env', 'tags', 'snapshotExpiration', 'keepLastSnapshots', 'region', 'failoverRegions', 'mounts', 'currentSnapshotId', 'projectId'];

function checkKeys(body, known) {
  for (const key of Object.keys(body)) {
    if (!known.includes(key) && !key.startsWith('__')) throw bad(`unknown member ${key}`);
    if (body[key] === null && !['keepLastSnapshots', 'networkId'].includes(key)) throw bad(`${key} is null`);
  }
}

/** A microVM takes its processes along. */
function endProcesses(files) {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`FAKE_VM=${files}`)) process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it is gone
    }
  }
}

export class Fake {
  requests = [];
  sandboxes = new Map();
  sessions = new Map();
  snapshots = new Map();
  drives = new Map();
  tokens = new Set(['tok_test']);
  team = 'team_test';
  projects = new Set(['prj_test']);
  maxTimeoutMs = 45 * 60 * 1000;
  /** Commands that were started, by what is behind their -c. */
  started = [];
  #faults = [];
  #processes = new Set();

  constructor(directory) {
    this.directory = directory;
    // Commands are this machine's own processes: none of them may become root in it.
    this.bin = path.join(directory, 'bin');
    mkdirSync(this.bin, { recursive: true });
    writeFileSync(path.join(this.bin, 'sudo'), '#!/bin/sh\nexit 1\n');
    chmodSync(path.join(this.bin, 'sudo'), 0o755);
  }

  async listen() {
    this.server = http.createServer({ keepAliveTimeout: 60000 }, (request, response) => void this.#serve(request, response));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/api`;
    return this;
  }

  close() {
    for (const session of this.sessions.values()) clearTimeout(session.timer);
    for (const child of this.#processes) child.kill('SIGKILL');
    for (const { session, sandbox } of this.sessions.values()) if (LIVE.has(session.status)) endProcesses(sandbox.files);
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** The next `times` requests for which match(method, path) holds go wrong:
   *  kind: 'reset' (before it is read), 'lost' (done, and no answer), 'cut' (after the head),
   *  'status' {status, code, headers} (not done), 'done-status' (done, and that answer),
   *  'body' {text} (200 with that), 'middle' (a stream is cut in the middle of a line after
   *  `bytes` bytes), 'stall' (a stream stops in the line after `lines` lines), 'edit' {edit(json)}. */
  fault(match, kind, options = {}) {
    this.#faults.push({ match, kind, times: 1, ...options });
  }

  #takeFault(method, where) {
    const fault = this.#faults.find((one) => one.times > 0 && one.match(method, where));
    if (fault) fault.times--;
    return fault;
  }

  count(match) {
    return this.requests.filter((one) => match(one.method, one.path)).length;
  }

  async #serve(request, response) {
    const url = new URL(request.url, this.url);
    const where = url.pathname.replace(/^\/api/, '');
    const fault = this.#takeFault(request.method, where);
    if (fault?.kind === 'reset') {
      request.socket.destroy();
      return;
    }
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return; // the client has gone
    }
    const body = Buffer.concat(chunks);
    this.requests.push({ method: request.method, url: request.url.replace(/^\/api/, ''), path: where, query: url.searchParams, headers: request.headers, body, at: Date.now() });
    const reply = new Reply(request, response, fault);
    if (fault?.kind === 'status') {
      reply.json(fault.status, { error: { code: fault.code ?? 'fault', message: fault.message ?? 'injected' } }, fault.headers);
      return;
    }
    try {
      this.#check(request, where, url.searchParams);
      await this.#route(request.method, where, url.searchParams, body, request.headers, reply);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      reply.json(error.status ?? 500, { error: { code: error.code ?? 'internal', message: error.message } }, error.headers);
    }
  }

  #check(request, where, query) {
    if (where.startsWith('/login/')) return; // no token yet
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (!this.tokens.has(token)) throw new Refusal(403, 'forbidden', 'The token is not valid.');
    if (where === '/v2/user') return;
    if (query.get('teamId') !== this.team) throw new Refusal(403, 'forbidden', 'Not authorized for this team.');
    const type = request.headers['content-type'];
    if (where.endsWith('/fs/write') ? type !== 'application/gzip' : !where.startsWith('/v1/') && type !== 'application/json')
      throw new Refusal(415, 'unsupported_media_type', `content-type ${type}`);
  }

  #project(id) {
    if (!id) throw bad('project is missing');
    if (!this.projects.has(id)) throw new Refusal(403, 'forbidden', 'Not authorized for this project.');
  }

  async #route(method, where, query, body, headers, reply) {
    const json = () => {
      if (body.length === 0) return {};
      if (headers['content-type'] === 'application/x-www-form-urlencoded') return Object.fromEntries(new URLSearchParams(body.toString()));
      try {
        return JSON.parse(body);
      } catch {
        throw bad('not JSON');
      }
    };
    const parts = where.split('/').slice(1).map(decodeURIComponent);
    const route = `${method} ${parts.length > 3 && parts[2] === 'sessions' ? ['v2/sandboxes/sessions/*', ...parts.slice(4)].join('/') : parts.join('/')}`;
    const account = this.#account(method, where, query, json);
    if (account) return reply.json(account.status ?? 200, account.body);
    if (/^POST v[234]\/sandboxes$/.test(route)) return reply.json(200, await this.#create(json(), parts[0]));
    if (route === 'GET v2/sandboxes') return reply.json(200, this.#list(query));
    if (parts[2] === 'sessions') return this.#session(method, parts, query, json, body, headers, reply);
    if (parts[2] === 'snapshots') return reply.json(200, this.#snapshotRoutes(method, parts, query));
    if (parts[2] === 'drives') return this.#driveRoutes(method, parts, query, json, reply);
    if (parts[1] === 'sandboxes' && parts.length === 3) return reply.json(200, await this.#one(method, parts[2], query, json));
    if (method === 'POST' && parts[1] === 'sandboxes' && parts[3] === 'fork') return reply.json(200, await this.#fork(parts[2], query, json()));
    throw new Refusal(404, 'not_found', `no such endpoint: ${route}`);
  }

  #account(method, where, query, json) {
    if (where === '/v2/user') return { body: { user: { defaultTeamId: this.team, username: 'tester' } } };
    if (where.startsWith('/v2/projects/')) {
      const name = where.split('/')[3];
      return this.projects.has(name) ? { body: { id: name, name } } : { status: 404, body: { error: { code: 'not_found', message: 'Project not found.' } } };
    }
    if (method === 'POST' && where === '/v11/projects') {
      this.projects.add(json().name);
      return { body: { id: json().name, name: json().name } };
    }
    return this.renewals?.(method, where, query, json);
  }

  // Sandboxes

  #policy(to, policy) {
    if (policy) to.networkPolicy = responsePolicy(policy);
  }

  #boot(sandbox) {
    const now = Date.now();
    const session = { id: `sbx_${base62(28)}`, status: 'running', memory: sandbox.memory, vcpus: sandbox.vcpus, region: 'iad1', timeout: sandbox.timeout,
      requestedAt: now, startedAt: now, createdAt: now, updatedAt: now, cwd: sandbox.files, interactivePort: 26661, sourceSandboxName: sandbox.name };
    this.#policy(session, sandbox.policy);
    this.sessions.set(session.id, { session, sandbox, commands: new Map() });
    sandbox.session = session.id;
    this.#arm(session);
    return session;
  }

  #arm(session) {
    const entry = this.sessions.get(session.id);
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => this.stop(session.id), session.startedAt + session.timeout - Date.now());
  }

  #view(sandbox) {
    const session = this.sessions.get(sandbox.session).session;
    const { name, persistent, region, vcpus, memory, timeout, tags, createdAt, updatedAt, currentSnapshotId } = sandbox;
    const view = { name, currentSessionId: session.id, status: session.status, persistent, region, failoverRegions: [], vcpus, memory, runtime: 'node22',
      architecture: 'amd64', image: 'vercel/sandbox/universal@sha256:00', timeout, cwd: sandbox.files, createdAt, updatedAt };
    if (tags) view.tags = tags;
    if (currentSnapshotId) view.currentSnapshotId = currentSnapshotId;
    if (sandbox.policy) view.networkPolicy = responsePolicy(sandbox.policy);
    if (session.status === 'running') view.expiresAt = session.startedAt + session.timeout;
    return view;
  }

  #opened(sandbox, resumed) {
    return { sandbox: this.#view(sandbox), session: this.sessions.get(sandbox.session).session, routes: this.#routes(sandbox), ...(resumed !== undefined && { resumed }) };
  }

  #routes(sandbox) {
    return sandbox.ports.map((port) => {
      const subdomain = `sb-${base62(12).toLowerCase()}`;
      return { url: `https://${subdomain}.vercel.run`, subdomain, port };
    });
  }

  async #create(body, version) {
    checkKeys(body, SETTINGS);
    this.#project(body.projectId);
    if (!Array.isArray(body.ports)) throw bad('ports');
    if (version === 'v2' && !body.runtime && !body.image) throw bad('runtime or image');
    const snapshot = body.source?.type === 'snapshot' ? this.snapshots.get(body.source.snapshotId) : undefined;
    if (body.source?.type === 'snapshot' && !snapshot) throw new Refusal(404, 'not_found', 'Snapshot not found.');
    return this.#opened(this.#make(body, snapshot?.files));
  }

  #make(body, from) {
    const name = body.name ?? `rand-${base62(8)}`;
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(name)) throw bad('name');
    if (this.sandboxes.has(name)) throw new Refusal(409, 'conflict', `A sandbox named '${name}' already exists.`);
    if (body.timeout !== undefined && !this.forcedTimeoutMs && !(body.timeout >= 1000 && body.timeout <= this.maxTimeoutMs)) throw bad('timeout');
    const vcpus = body.resources?.vcpus ?? 2;
    if (vcpus !== 1 && vcpus % 2) throw bad('vcpus');
    for (const [key, value] of Object.entries(body.tags ?? {})) if (value.length > 256 || !key) throw bad('tags');
    const files = path.join(this.directory, `vm-${base62(8)}`, 'vercel');
    mkdirSync(files, { recursive: true });
    if (from) cpSync(from, files, { recursive: true });
    const now = Date.now();
    const sandbox = { name, persistent: body.persistent ?? true, region: 'iad1', vcpus, memory: 2048 * vcpus, timeout: this.forcedTimeoutMs ?? body.timeout ?? 300000,
      ports: body.ports ?? [], env: body.env ?? {}, tags: body.tags, policy: body.networkPolicy, createdAt: now, updatedAt: now, files };
    this.sandboxes.set(name, sandbox);
    this.#boot(sandbox);
    return sandbox;
  }

  #named(name, query) {
    this.#project(query.get('projectId'));
    const sandbox = this.sandboxes.get(name);
    if (!sandbox) throw new Refusal(404, 'not_found', `Named sandbox '${name}' not found for this project.`);
    return sandbox;
  }

  async #one(method, name, query, json) {
    const sandbox = this.#named(name, query);
    if (method === 'GET') {
      const live = LIVE.has(this.sessions.get(sandbox.session).session.status);
      if (live || query.get('resume') !== 'true') return this.#opened(sandbox, false);
      if (!sandbox.currentSnapshotId) throw new Refusal(400, 'snapshot_not_found', 'Cannot resume sandbox: no snapshot available.');
      this.#boot(sandbox);
      return this.#opened(sandbox, true);
    }
    if (method === 'DELETE') {
      const view = this.#view(sandbox);
      this.stop(sandbox.session);
      this.sandboxes.delete(name);
      rmSync(path.dirname(sandbox.files), { recursive: true, force: true });
      return { sandbox: view };
    }
    if (method !== 'PATCH') throw new Refusal(405, 'method', method);
    const body = json();
    checkKeys(body, SETTINGS.filter((key) => !['name', 'source', 'image', 'runtime', 'projectId'].includes(key)));
    if (body.resources && body.resources.memory !== 2048 * body.resources.vcpus) throw bad('memory');
    if (body.resources) Object.assign(sandbox, { vcpus: body.resources.vcpus, memory: body.resources.memory });
    for (const key of ['persistent', 'timeout', 'tags', 'ports', 'env', 'currentSnapshotId']) if (body[key] !== undefined) sandbox[key] = body[key];
    if (body.networkPolicy) sandbox.policy = body.networkPolicy;
    sandbox.updatedAt = Date.now();
    return { sandbox: this.#view(sandbox), ...(body.ports && { routes: this.#routes(sandbox) }) };
  }

  #list(query) {
    this.#project(query.get('project'));
    const limit = Number(query.get('limit') ?? 20);
    if (!(limit >= 1 && limit <= 50)) throw bad('limit');
    if (query.get('namePrefix') && query.get('sortBy') !== 'name') throw bad('namePrefix');
    const tag = query.get('tags');
    const all = [...this.sandboxes.values()].filter((one) => one.name.startsWith(query.get('namePrefix') ?? '') &&
      (!tag || one.tags?.[tag.split(':')[0]] === tag.split(':').slice(1).join(':')));
    return this.#page('sandboxes', all.map((one) => this.#view(one)), query, limit);
  }

  #page(key, all, query, limit = Number(query.get('limit') ?? 20)) {
    const from = Number(query.get('cursor') ?? 0);
    const page = all.slice(from, from + limit);
    return { [key]: page, pagination: { count: page.length, next: from + limit < all.length ? String(from + limit) : null } };
  }

  async #fork(name, query, body) {
    const source = this.#named(name, query);
    checkKeys(body, SETTINGS.filter((key) => key !== 'projectId'));
    const snapshot = this.snapshots.get(source.currentSnapshotId);
    const { env, tags, ports, timeout, persistent } = source;
    return this.#opened(this.#make({ env, tags, ports, timeout, persistent, networkPolicy: source.policy, ...body }, snapshot?.files));
  }

  // Sessions

  /** Ends a session, as its time-out would. */
  stop(id) {
    const { session, sandbox, commands, timer } = this.sessions.get(id);
    clearTimeout(timer);
    if (!LIVE.has(session.status)) return undefined;
    for (const command of commands.values()) command.end();
    if (commands.size) endProcesses(sandbox.files);
    Object.assign(session, { status: 'stopped', requestedStopAt: Date.now(), stoppedAt: Date.now(), updatedAt: Date.now(), duration: Date.now() - session.startedAt });
    if (!sandbox.persistent) {
      rmSync(sandbox.files, { recursive: true, force: true });
      return undefined;
    }
    return this.#snap(sandbox, session, 'automatic');
  }

  #snap(sandbox, session, creationMethod) {
    const now = Date.now();
    const files = path.join(this.directory, `snap-${base62(8)}`);
    cpSync(sandbox.files, files, { recursive: true });
    const snapshot = { id: `snap_${base62(28)}`, sourceSessionId: session.id, region: 'iad1', status: 'created', sizeBytes: 4096, createdAt: now, updatedAt: now, creationMethod };
    this.snapshots.set(snapshot.id, { snapshot, files, project: true });
    sandbox.currentSnapshotId = snapshot.id;
    return snapshot;
  }

  async #session(method, parts, query, json, body, headers, reply) {
    if (parts.length === 3) {
      this.#project(query.get('project'));
      const all = [...this.sessions.values()].filter((one) => !query.get('name') || one.sandbox.name === query.get('name'));
      return reply.json(200, this.#page('sessions', all.map((one) => one.session), query));
    }
    const entry = this.sessions.get(parts[3]);
    if (!entry) throw new Refusal(404, 'not_found', 'Session not found.');
    const { session, sandbox } = entry;
    const what = `${method} ${parts.slice(4, 6).join('/')}`;
    if (what === 'POST stop') {
      const snapshot = this.stop(session.id);
      return reply.json(200, { session, sandbox: this.#view(sandbox), ...(snapshot && { snapshot }) });
    }
    if (method === 'GET' && parts.length === 4) return reply.json(200, { session, routes: this.#routes(sandbox) });
    if (!LIVE.has(session.status)) throw new Refusal(410, 'sandbox_stopped', 'Sandbox has stopped execution and is no longer available');
    switch (what) {
      case 'POST extend-timeout': {
        const { duration } = json();
        if (!(duration >= 1000)) throw bad('duration');
        if (session.timeout + duration > this.maxTimeoutMs) throw bad('the plan allows no longer session');
        session.timeout += duration;
        this.#arm(session);
        return reply.json(200, { session });
      }
      case 'POST network-policy':
        this.#policy(session, json());
        return reply.json(200, { session });
      case 'POST snapshot': {
        const snapshot = this.#snap(sandbox, session, 'manual');
        const { persistent } = sandbox;
        sandbox.persistent = true; // its files are in the snapshot
        this.stop(session.id);
        sandbox.persistent = persistent;
        sandbox.currentSnapshotId = snapshot.id;
        return reply.json(201, { snapshot, session: { ...session, status: 'snapshotting', snapshottedAt: Date.now() } });
      }
      case 'POST interactive': return reply.json(200, { url: `ws://127.0.0.1:${this.port}/ws/interactive`, token: base62(8) });
      case 'POST fs/write': return this.#write(sandbox, body, headers, reply);
      case 'POST fs/read': return this.#read(sandbox, json(), reply);
      case 'POST fs/mkdir': return this.#mkdir(sandbox, json(), reply);
      case 'POST cmd': return this.#run(entry, json(), reply);
      case 'GET cmd': return reply.json(200, { commands: [...entry.commands.values()].map((one) => one.object) });
    }
    const command = entry.commands.get(parts[5]);
    if (parts[4] !== 'cmd') throw new Refusal(404, 'not_found', `no such endpoint: ${what}`);
    if (!command) throw new Refusal(404, 'not_found', 'Command not found.');
    if (method === 'POST' && parts[6] === 'kill') {
      if (command.object.exitCode !== null) throw bad('the command is not running');
      command.child.kill(json().signal);
      return reply.json(200, { command: command.object });
    }
    if (parts[6] === 'logs') {
      reply.stream();
      for (const line of command.lines) reply.line(line);
      command.follow((line) => reply.line(line), () => reply.end());
      return undefined;
    }
    if (query.get('wait') === 'true') await command.done;
    if (!LIVE.has(session.status)) throw new Refusal(410, 'sandbox_stopped', 'Sandbox has stopped execution and is no longer available');
    return reply.json(200, { command: command.object });
  }

  // Files

  #resolve(sandbox, name, cwd = '.') {
    return path.resolve(sandbox.files, cwd, name);
  }

  #write(sandbox, body, headers, reply) {
    let entries;
    try {
      entries = readTar(gunzipSync(body));
    } catch (error) {
      throw bad(error.message);
    }
    for (const { name, mode, type, bytes } of entries) {
      if (type !== '0' || name.split('/').includes('..')) throw bad(`entry ${name}`);
      const to = path.resolve(headers['x-cwd'] ?? sandbox.files, name);
      mkdirSync(path.dirname(to), { recursive: true });
      writeFileSync(to, bytes, { mode });
    }
    return reply.json(200, {});
  }

  #read(sandbox, { path: name, cwd }, reply) {
    const file = this.#resolve(sandbox, name, cwd);
    let bytes;
    try {
      if (!statSync(file).isFile()) throw new Error('not a file');
      bytes = readFileSync(file);
    } catch {
      throw new Refusal(404, 'not_found', 'File not found.');
    }
    return reply.bytes(bytes, path.basename(file));
  }

  #mkdir(sandbox, { path: name, cwd, recursive }, reply) {
    const to = this.#resolve(sandbox, name, cwd);
    try {
      if (!recursive && existsSync(to)) throw Object.assign(new Error(), { code: 'EEXIST' });
      mkdirSync(to, { recursive: recursive ?? false });
    } catch (error) {
      const words = { EEXIST: `${to}: File exists`, ENOENT: 'No such file or directory', ENOTDIR: 'Not a directory', EACCES: 'Permission denied' };
      throw new Refusal(400, 'file_error', `error creating directory: ${words[error.code] ?? error.message}`);
    }
    return reply.json(200, {});
  }

  // Commands

  #find(program, env) {
    if (program.includes('/')) return program;
    for (const directory of (env.PATH ?? '').split(':')) {
      try {
        accessSync(path.join(directory, program), constants.X_OK);
        return path.join(directory, program);
      } catch {
        // the next one
      }
    }
    throw new Refusal(400, 'executable_not_found', `[invalid_argument] executable file not found in $PATH: ${program}`);
  }

  #run(entry, body, reply) {
    checkKeys(body, ['command', 'args', 'cwd', 'env', 'sudo', 'wait', 'logs', 'timeout']);
    if (!Array.isArray(body.args) || typeof body.env !== 'object' || typeof body.sudo !== 'boolean') throw bad('args, env and sudo');
    if (body.timeout !== undefined && !(body.timeout >= 100)) throw bad('timeout');
    const { sandbox, session } = entry;
    const env = { PATH: `${this.bin}:${process.env.PATH}`, FAKE_VM: sandbox.files, HOME: sandbox.files, USER: 'ubuntu', LANG: 'C.UTF-8', ...sandbox.env, ...body.env };
    const cwd = this.#resolve(sandbox, '.', body.cwd);
    if (!existsSync(cwd) || !statSync(cwd).isDirectory()) throw new Refusal(400, 'bad_request', `[invalid_argument] chdir ${body.cwd}: No such file or directory`);
    const command = new Command(this.#find(body.command, env), body, env, cwd, session.id);
    this.started.push(body.args[body.args.indexOf('-c') + 1] ?? body.command);
    this.#processes.add(command.child);
    void command.done.then(() => this.#processes.delete(command.child));
    entry.commands.set(command.object.id, command);
    if (!body.wait) return reply.json(200, { command: { ...command.object, exitCode: null } });
    reply.stream();
    reply.line({ command: { ...command.object, exitCode: null } });
    if (body.logs) for (const line of command.lines) reply.line(line);
    command.follow((line) => body.logs && reply.line(line), () => {
      if (command.gone) reply.line({ stream: 'error', data: { code: 'sandbox_stream_closed', message: 'The sandbox has stopped.' } });
      else reply.line({ command: command.object });
      reply.end();
    });
    return undefined;
  }

  // Snapshots and drives

  #snapshotRoutes(method, parts, query) {
    const all = [...this.snapshots.values()].map((one) => one.snapshot);
    if (parts.length === 3 || parts[3] === 'tree') {
      this.#project(query.get('project'));
      if (parts[3] === 'tree') return { snapshots: all.slice(0, 1).map((snapshot) => ({ snapshot, siblings: [], count: '1' })), pagination: { count: 1, next: null } };
      const sessions = new Set([...this.sessions.values()].filter((one) => !query.get('name') || one.sandbox.name === query.get('name')).map((one) => one.session.id));
      return this.#page('snapshots', all.filter((one) => sessions.has(one.sourceSessionId)), query);
    }
    const found = this.snapshots.get(parts[3]);
    if (!found) throw new Refusal(404, 'not_found', 'Snapshot not found.');
    if (method === 'DELETE') found.snapshot.status = 'deleted';
    return { snapshot: found.snapshot };
  }

  #driveRoutes(method, parts, query, json, reply) {
    if (parts.length === 3) {
      this.#project(query.get('projectId'));
      return reply.json(200, this.#page('drives', [...this.drives.values()], query));
    }
    const name = parts[3];
    const known = this.drives.get(name);
    if (method === 'POST') {
      const { projectId, region = 'iad1', maxSizeBytes = 1 << 30 } = json();
      this.#project(projectId);
      const now = Date.now();
      const drive = known ?? { id: `drv_${base62(12)}`, name, projectId, region, maxSizeBytes, createdAt: now, updatedAt: now };
      this.drives.set(name, drive);
      return reply.json(known ? 200 : 201, { drive });
    }
    if (!known) throw new Refusal(404, 'not_found', 'Drive not found.');
    this.drives.delete(name);
    return reply.json(200, { drive: known });
  }
}

class Command {
  lines = [];
  #followers = new Set();

  constructor(program, body, env, cwd, sessionId) {
    const started = Date.now();
    this.object = { id: `cmd_${randomBytes(14).toString('hex')}`, name: body.command, args: body.args, cwd, sessionId, startedAt: started, exitCode: null };
    this.child = spawn(program, body.args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const name of ['stdout', 'stderr']) {
      const decoder = new StringDecoder('utf8');
      this.child[name].on('data', (chunk) => this.#line({ data: decoder.write(chunk), stream: name }));
      this.child[name].on('end', () => this.#line({ data: decoder.end(), stream: name }));
    }
    const limit = body.timeout && setTimeout(() => this.child.kill('SIGKILL'), body.timeout);
    this.done = new Promise((resolve) => {
      // What it printed is all there when it exits; who holds the pipes longer is not waited for.
      this.child.on('exit', (code, signal) => setTimeout(() => {
        clearTimeout(limit);
        const numbers = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };
        Object.assign(this.object, { exitCode: signal ? 128 + (numbers[signal] ?? 0) : code, durationMs: Date.now() - started });
        for (const { end } of this.#followers) end();
        this.#followers.clear();
        resolve();
      }, this.child.stdout.readableEnded && this.child.stderr.readableEnded ? 0 : 20));
    });
    this.child.on('error', () => {});
  }

  #line(line) {
    if (!line.data) return;
    this.lines.push(line);
    for (const { more } of this.#followers) more(line);
  }

  follow(more, end) {
    if (this.object.exitCode !== null) end();
    else this.#followers.add({ more, end });
  }

  /** The machine goes away. */
  end() {
    if (this.object.exitCode !== null) return;
    this.gone = true;
    this.child.kill('SIGKILL');
  }
}

/** An answer, with the fault that it suffers. */
class Reply {
  constructor(request, response, fault) {
    Object.assign(this, { request, response, fault, sent: 0, lines: 0 });
  }

  #head(status, type, headers = {}) {
    this.response.writeHead(status, { 'content-type': type, ...headers });
    if (this.fault?.kind === 'cut') {
      this.response.flushHeaders();
      setImmediate(() => this.request.socket.destroy());
    }
  }

  json(status, value, headers) {
    if (this.response.destroyed || this.response.writableEnded) return;
    const { fault } = this;
    if (fault?.kind === 'lost') {
      this.request.socket.destroy();
      return;
    }
    if (fault?.kind === 'done-status') [status, value, headers] = [fault.status, { error: { code: 'fault', message: 'injected' } }, fault.headers];
    if (fault?.kind === 'edit') value = fault.edit(value);
    let text = JSON.stringify(value);
    if (fault?.kind === 'body') text = fault.text;
    this.#head(status, 'application/json; charset=utf-8', { ...headers, 'content-length': Buffer.byteLength(text) });
    if (fault?.kind !== 'cut') this.response.end(text);
  }

  bytes(bytes, name) {
    this.#head(200, 'application/octet-stream', { 'content-disposition': `attachment; filename="${name}"` });
    if (this.fault?.kind === 'middle') {
      this.response.write(bytes.subarray(0, this.fault.bytes), () => this.request.socket.destroy());
      return;
    }
    this.response.end(bytes);
  }

  stream() {
    if (this.fault?.kind === 'lost') {
      this.request.socket.destroy();
      return;
    }
    if (this.fault?.kind === 'done-status' || this.fault?.kind === 'body') {
      this.json(200, {});
      return;
    }
    this.#head(200, 'application/x-ndjson');
    this.response.flushHeaders();
  }

  line(value) {
    if (this.response.destroyed || this.response.writableEnded || this.stalled) return;
    let text = JSON.stringify(this.fault?.kind === 'edit' ? this.fault.edit(value) : value) + '\n';
    const { fault } = this;
    if (fault?.kind === 'stall' && this.lines++ >= fault.lines) {
      this.stalled = true;
      this.response.write(text.slice(0, text.length / 2));
      return;
    }
    if (fault?.kind === 'middle' && this.sent + text.length > fault.bytes) {
      text = text.slice(0, fault.bytes - this.sent);
      this.stalled = true;
      this.response.write(text, () => this.request.socket.destroy());
      return;
    }
    this.sent += text.length;
    this.response.write(text);
  }

  end() {
    if (!this.stalled && !this.response.destroyed) this.response.end();
  }
}

export async function fake(directory) {
  return new Fake(directory).listen();
}

// By itself: node vercel-fake.mjs DIRECTORY prints the URL and serves until it is ended.
if (process.argv[1] === import.meta.filename) {
  const server = await fake(process.argv[2]);
  console.log(server.url);
}
