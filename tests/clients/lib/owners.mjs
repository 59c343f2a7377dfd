// Who starts the server: root and an ordinary user, as far as this machine can be both.
import { chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { have, ordinaryUser, root, sandquay, scratch } from './product.mjs';

/** [{name, home, program, env, command(args) -> [program, args], own(path)}] */
export function owners(label) {
  const list = [];
  const self = scratch(label);
  mkdirSync(path.join(self, 'tmp'));
  list.push({
    name: root ? 'root' : 'this user', home: self, root,
    env: { ...process.env, HOME: self, XDG_STATE_HOME: path.join(self, 'state'), TMPDIR: path.join(self, 'tmp') },
    command: (args) => [sandquay, args],
    own: () => {},
  });
  if (root && have('setpriv')) {
    const user = ordinaryUser();
    list.push({
      name: 'an ordinary user', home: user.home, root: false, uid: user.uid,
      env: { ...user.env, XDG_STATE_HOME: path.join(user.home, 'state') },
      command: (args) => user.command(user.sandquay, args),
      own: (file) => chownSync(file, user.uid, user.uid),
    });
  }
  return list;
}
