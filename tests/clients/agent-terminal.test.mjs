// The agent on a terminal: what is seen, what is typed, Ctrl-C.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { place, plain, terminal } from './lib/agent.mjs';
import { call, hang, modelServer, results, say, turn } from './lib/model.mjs';
import { family, marked } from './lib/processes.mjs';
import { until } from './lib/product.mjs';

const where = place('agent-terminal');

async function on(script, args, body, options) {
  const model = await modelServer(script);
  const screen = terminal(where, model, args, options);
  try {
    await body(screen, model);
    const end = await screen.done;
    assert.equal(family(screen.pid).length, 0);
    return { ...end, requests: model.requests };
  } finally {
    await model.close();
  }
}

describe('on a terminal', () => {
  test('text streams, a call is one line in the end', async () => {
    const end = await on([
      turn([say('I look.'), call('execute_command', { command: 'seq 3; sleep 0.5; echo end' })]),
      turn(say('There are **three**.')),
    ], ['how many?'], async (screen) => {
      await screen.shown('I look.');
      await screen.shown(/execute_command seq 3/);
      await screen.shown('There are **three**.');
    });
    assert.equal(end.code, 0, end.screen);
    const lines = plain(end.screen).split('\n').filter(Boolean);
    assert.equal(lines[0], 'I look.');
    assert.match(lines[1], /^✓ execute_command seq 3; sleep 0\.5; echo end · [\d.]+ s · exit 0 · \d+ B$/);
    assert.equal(lines[2], 'There are **three**.');
    assert.match(lines[3], /^2 turns · 200 tokens in, 40 out · /);
    assert.match(end.screen, /\x1b\[32m/, 'with colours');
  });

  test('the newest line of output is seen while it runs', async () => {
    await on([
      turn(call('execute_command', { command: 'for i in $(seq 40); do echo "line number $i"; sleep 0.05; done' })),
      turn(say('done')),
    ], ['x'], (screen) => screen.shown(/execute_command for i.*line number \d+/));
  });

  test('what takes long is told with its seconds', async () => {
    await on([turn(call('execute_command', { command: 'sleep 1.6' })), turn(say('done'))], ['x'], (screen) => screen.shown(/execute_command sleep 1\.6 · 1 s/));
  });

  test('NO_COLOR', async () => {
    const end = await on([turn(call('execute_command', { command: 'true' })), turn(say('ok'))], ['x'], () => {}, { extra: { NO_COLOR: '1' } });
    assert.doesNotMatch(end.screen, /\x1b\[\d+m/);
  });

  test('escape sequences of others do not reach the terminal', async () => {
    const evil = '\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe';
    const end = await on([
      turn([say(`look: ${evil}\n`), call('execute_command', { command: `echo '${evil}'; sleep 0.4` }, 'toolu_x')]),
      turn(say('ok')),
    ], ['--verbose', 'x'], () => {});
    assert.doesNotMatch(end.screen, /\x1b\]0|\x1b\[2J|\x9b|\u202e/);
    assert.match(end.screen, /␛\]0;title␇/);
  });

  test('a narrow terminal: no line wraps', async () => {
    const end = await on([
      turn(call('execute_command', { command: `echo ${'long '.repeat(100)}` })), turn(say('ok')),
    ], ['x'], () => {}, { cols: 60 });
    const [line] = plain(end.screen).split('\n').filter((text) => text.startsWith('✓'));
    assert.ok(line.length <= 60, line);
    assert.match(line, /\.\.\. · /);
  });
});

describe('a conversation', () => {
  test('task after task, with what was said before; Ctrl-D leaves', async () => {
    const end = await on([turn(say('one')), turn(say('two'))], [], async (screen) => {
      await screen.shown('> ');
      screen.type('first\r');
      await screen.shown('one');
      await screen.shown('> ');
      screen.type('secomd\x7f\x7fnd\r'); // edited
      await screen.shown('two');
      await screen.shown('> ');
      screen.type('\x04');
    });
    assert.equal(end.code, 0);
    assert.deepEqual(end.requests[1].body.messages.map(({ role, content }) => [role, content[0].text]),
      [['user', 'first'], ['assistant', 'one'], ['user', 'second']]);
  });

  test('history is kept between conversations; several lines; UTF-8', async () => {
    await on([turn(say('ok'))], [], async (screen) => {
      await screen.shown('> ');
      screen.type('über 漢字\r');
      await screen.shown('ok');
      await screen.shown('> ');
      screen.type('/exit\r');
    });
    const end = await on([turn(say('again')), turn(say('both'))], [], async (screen) => {
      await screen.shown('> ');
      screen.type('\x1b[A\x1b[A\r'); // up, past /exit
      await screen.shown('again');
      await screen.shown('> ');
      screen.type('line one\\\r');
      await screen.shown('. ');
      screen.type('line two\r');
      await screen.shown('both');
      await screen.shown('> ');
      screen.type('\x04');
    });
    assert.equal(end.requests[0].body.messages[0].content[0].text, 'über 漢字');
    assert.equal(end.requests[1].body.messages.at(-1).content[0].text, 'line one\nline two');
  });

  test('Ctrl-C stops what runs, and the conversation goes on', async () => {
    const mark = `6${process.pid}1.25`;
    const end = await on([
      turn(call('execute_command', { command: `sleep ${mark}`, timeoutMs: 600000 }, 'toolu_slow')),
      (body) => {
        const [{ id, error, text }] = results(body);
        assert.deepEqual([id, error, text], ['toolu_slow', true, 'Error: cancelled by the user']);
        assert.equal(body.messages.at(-1).content.at(-1).text, 'leave it');
        return turn(say('left'));
      },
    ], [], async (screen) => {
      await screen.shown('> ');
      screen.type('wait\r');
      await until(() => marked(mark).length > 0, 'it runs', 5000);
      screen.type('\x03');
      await screen.shown('interrupted');
      await until(() => marked(mark).length === 0, 'it is gone', 5000);
      await screen.shown('> ');
      screen.type('leave it\r');
      await screen.shown('left');
      await screen.shown('> ');
      screen.type('\x04');
    });
    assert.equal(end.code, 0);
  });

  test('Ctrl-C while the model writes; then twice: the end', async () => {
    const end = await on([(body, response) => hang(response, [say('I begin')])], [], async (screen) => {
      await screen.shown('> ');
      screen.type('go\r');
      await screen.shown('I begin');
      screen.type('\x03');
      await screen.shown('interrupted');
      await screen.shown('> ');
      screen.type('\x03');
      await screen.shown('\n');
    });
    assert.equal(end.code, 130);
  });

  test('Ctrl-C at the prompt gives up what is typed; it says how to leave', async () => {
    const end = await on([turn(say('ok'))], [], async (screen) => {
      await screen.shown('> ');
      screen.type('never mi');
      await screen.shown('never mi');
      screen.type('\x03');
      await screen.shown('Ctrl-C again, or Ctrl-D, leaves');
      await screen.shown('> ');
      screen.type('\x04');
    });
    assert.deepEqual([end.code, end.requests.length], [0, 0]);
  });
});
