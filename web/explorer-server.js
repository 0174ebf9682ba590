// The explorer's page on this machine: a program trains and keeps the board, and sends its changes as events.

import { explore } from './explorer.js';

async function post(path, body) {
  const headers = { 'content-type': 'application/json' };
  const request = fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const [ok, answer] = await request
    .then(async (response) => [response.ok, await response.json()])
    .catch(() => {
      throw new Error('The explorer does not answer. If the program has ended, start it again.');
    });
  if (!ok) throw new Error(`Not possible: ${answer.error}.`);
  return answer;
}

explore(document.getElementById('explorer'), {
  listen({ state, run, trouble }) {
    const events = new EventSource('events');
    events.addEventListener('state', ({ data }) => state(JSON.parse(data)));
    events.addEventListener('run', ({ data }) => run(JSON.parse(data)));
    events.onerror = () =>
      trouble('The connection to the explorer is lost; trying again. If the program has ended, start it again.');
  },
  run: (request) => post('run', request),
  cancel: () => post('cancel', {}),
});
