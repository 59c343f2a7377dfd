// What lives on the host: processes by parent or by mark, cgroups, mounts.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

const read = (file) => {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // it is gone
  }
};

/** {pid, parent, state, started, name} or undefined. */
function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  const close = text.lastIndexOf(')');
  if (close === -1) return undefined;
  const fields = text.slice(close + 2).split(' ');
  return { pid: Number(pid), name: text.slice(text.indexOf('(') + 1, close), state: fields[0], parent: Number(fields[1]), started: fields[19] };
}

export function processes() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(stat).filter(Boolean);
}

export function alive(process) {
  const now = stat(process.pid);
  return Boolean(now && now.started === process.started && now.state !== 'Z' && now.state !== 'X');
}

/** The process itself and all that descend from it, as long as their parents live. */
export function family(pid) {
  const all = processes();
  const found = all.filter((one) => one.pid === pid);
  for (let i = 0; i < found.length; i++) {
    found.push(...all.filter((one) => one.parent === found[i].pid));
  }
  return found;
}

/** Processes whose command line contains a mark, this one excepted. */
export function marked(mark) {
  return processes().filter((one) => one.pid !== process.pid && one.state !== 'Z' &&
    read(`/proc/${one.pid}/cmdline`).includes(mark));
}

/** The process group of a process. */
export function groupOf(pid) {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) \S+ \d+ /s, '').split(' ')[0]);
}

/** The directories of the cgroups that these processes are in, but not those of this process. */
export function cgroupsOf(list) {
  const mounts = cgroupMounts();
  const directories = new Set();
  const own = new Set(groups('self', mounts));
  for (const { pid } of list) {
    for (const directory of groups(pid, mounts)) if (!own.has(directory)) directories.add(directory);
  }
  return [...directories];
}

function groups(pid, mounts) {
  return read(`/proc/${pid}/cgroup`).trim().split('\n').filter(Boolean).flatMap((line) => {
    const [, controllers, where] = line.match(/^\d+:([^:]*):(.*)$/);
    const mount = mounts.find((one) => one.controllers === controllers);
    return mount && where !== '/' ? [path.join(mount.directory, where)] : [];
  });
}

function cgroupMounts() {
  return read('/proc/self/mountinfo').split('\n').flatMap((line) => {
    const [front, back] = line.split(' - ');
    if (!back) return [];
    const [type, , options] = back.split(' ');
    const directory = front.split(' ')[4];
    if (type === 'cgroup2') return [{ directory, controllers: '' }];
    if (type !== 'cgroup') return [];
    const named = options.match(/name=[^,]+/);
    return [{ directory, controllers: named ? named[0] : path.basename(directory) }];
  });
}

/** All cgroups of ours below this process's own groups, in every hierarchy. */
export function cgroupsByName() {
  const found = [];
  const walk = (directory, depth) => {
    let names = [];
    try {
      names = readdirSync(directory, { withFileTypes: true }).filter((one) => one.isDirectory());
    } catch {
      return;
    }
    for (const { name } of names) {
      const full = path.join(directory, name);
      if (name.startsWith('sandquay')) found.push(full);
      else if (depth < 4) walk(full, depth + 1);
    }
  };
  for (const { directory } of cgroupMounts()) walk(directory, 0);
  return found;
}

export const mounts = () => read('/proc/self/mountinfo').split('\n').filter((line) => /sandquay/.test(line));

export const descriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;
export const memoryKb = (pid) => Number(read(`/proc/${pid}/status`).match(/^VmRSS:\s+(\d+)/m)?.[1] ?? 0);

/** Everything that a server has outside of itself, taken while it lives. */
export function estate(pid, temp) {
  const list = family(pid);
  return { processes: list, cgroups: cgroupsOf(list), mountsBefore: mounts(), temp };
}

/** What is left of it: a list of words, empty when all is gone. */
export function leftOf({ processes: list, cgroups, temp, marks = [] }) {
  const named = read('/proc/self/mountinfo').includes(temp) ? [`a mount of ${temp}`] : [];
  return [
    ...list.filter(alive).map((one) => `process ${one.pid} ${one.name}`),
    ...marks.flatMap((mark) => marked(mark).map((one) => `marked process ${one.pid} ${one.name}`)),
    ...cgroups.filter((directory) => existsSync(directory)).map((directory) => `cgroup ${directory}`),
    ...(temp && statSync(temp).isDirectory() ? readdirSync(temp).map((name) => `file ${name} in TMPDIR`) : []),
    ...named,
  ];
}
