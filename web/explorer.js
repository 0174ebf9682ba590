// The page: shows the server's board, and requests a run at every change of a control.

import { draw } from './charts.js';

const $ = (id) => document.getElementById(id);
const SETTLE_MS = 350; // A slider passes many values before the intended one.

let menu = null;
let runs = new Map(); // By number, oldest first.
let chosen = null; // {trainable, domain, images, lr, seed}
let queue = []; // Requests of a sweep that are not sent yet.
let swept = null; // The number of the sweep's current run.
let timer = null;

const events = new EventSource('events');
events.addEventListener('state', (event) => {
  const first = menu === null;
  const state = JSON.parse(event.data);
  menu = state.menu;
  runs = new Map(state.runs.map((run) => [run.id, run]));
  if (first) begin();
  complain('');
  show();
});
events.addEventListener('run', (event) => {
  const run = JSON.parse(event.data);
  runs.set(run.id, run);
  for (const id of runs.keys()) if (id + menu.kept_runs <= run.id) runs.delete(id);
  show();
  if (run.id === swept && over(run)) sweepOn(run);
});
events.onerror = () => complain('The connection to the explorer is lost; trying again. If the program has ended, start it again.');

const over = (run) => run.status !== 'waiting' && run.status !== 'running';
const newest = () => [...runs.values()].at(-1);
const domainOf = (key) => menu.domains.find((domain) => domain.key === key);

function complain(text) {
  $('alert').textContent = text;
  $('alert').hidden = text === '';
}

function element(name, properties = {}, children = []) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

// ---- controls

function begin() {
  const last = newest();
  const first = menu.groups.slice(-2);
  chosen = last ? { ...last.request } : { trainable: first, domain: menu.domains[0].key, images: menu.images[0], lr: menu.lr, seed: 0 };
  $('machine').textContent = `${menu.model} on ${menu.adapter}; ${menu.length} of up to ${menu.batch} images per run`;
  for (const scenario of menu.scenarios) {
    const button = element('button', { type: 'button', textContent: scenario.name });
    button.onclick = () => {
      $('advice').textContent = `The lesson’s advice: ${scenario.advice}`;
      change({ domain: scenario.domain, images: scenario.images, trainable: scenario.trainable }, 0);
    };
    $('scenarios').append(button);
  }
  for (const group of menu.groups) {
    const button = element('button', { type: 'button' }, [element('span', { textContent: group }), element('span', { className: 'state' }), element('small')]);
    button.dataset.group = group;
    button.onclick = () => {
      const train = chosen.trainable.includes(group);
      change({ trainable: menu.groups.filter((other) => (other === group ? !train : chosen.trainable.includes(other))) });
    };
    $('groups').append(button);
  }
  for (const { key, task } of menu.domains) {
    const radio = element('input', { type: 'radio', name: 'domain', value: key });
    radio.onchange = () => change({ domain: key });
    $('domains').append(element('label', {}, [radio, `${key} (${task})`]));
  }
  const options = (id, values, field) => {
    $(id).append(...values.map((value) => element('option', { value, textContent: value })));
    $(id).onchange = () => change({ [field]: Number($(id).value) });
  };
  options('images', menu.images, 'images');
  options('seed', Array.from({ length: menu.seeds }, (_, seed) => seed), 'seed');
  $('lr').max = menu.rates.length - 1;
  $('lr').oninput = () => change({ lr: menu.rates[$('lr').value] });
  $('again').onclick = () => change({}, 0);
  $('sweep').onclick = () => {
    stopSweep();
    queue = menu.groups.map((_, from) => ({ ...chosen, trainable: menu.groups.slice(from) })).reverse();
    sweepOn();
  };
  $('cancel').onclick = () => {
    stopSweep();
    post('cancel', {});
  };
  $('cost').onchange = show;
  new ResizeObserver(show).observe(document.body);
}

/** Applies `changes`, and requests a run when nothing has changed for a moment. */
function change(changes, settle = SETTLE_MS) {
  stopSweep();
  chosen = { ...chosen, ...changes };
  showChosen();
  timer = setTimeout(() => post('run', chosen), settle);
}

function stopSweep() {
  clearTimeout(timer);
  [queue, swept] = [[], null];
}

/** The next run of the sweep; none if the previous one was cancelled. */
async function sweepOn(done) {
  const next = queue.shift();
  swept = null;
  if (!next || done?.status === 'cancelled') return stopSweep();
  chosen = next;
  showChosen();
  const rest = queue;
  const answer = await post('run', next);
  if (!answer || rest !== queue) return;
  swept = answer.run;
  // Its last event may have arrived before the answer.
  const run = runs.get(swept);
  if (run && over(run)) sweepOn(run);
}

async function post(path, body) {
  try {
    const response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    const answer = await response.json();
    complain(response.ok ? '' : `Not possible: ${answer.error}.`);
    return response.ok ? answer : null;
  } catch {
    complain('The explorer does not answer. If the program has ended, start it again.');
    return null;
  }
}

// ---- what is shown

function show() {
  showChosen();
  showRun(newest());
  showCurves(newest());
  showScatter();
  showTable();
}

function showChosen() {
  const run = newest();
  for (const button of $('groups').children) {
    const [group, trains] = [button.dataset.group, chosen.trainable.includes(button.dataset.group)];
    button.setAttribute('aria-pressed', trains);
    button.querySelector('.state').textContent = trains ? '● trains' : '❄ frozen';
    const cost = run?.cost?.groups.find((one) => one.name === group);
    const fits = run && run.request.trainable.includes(group) === trains;
    button.querySelector('small').textContent = cost && fits ? `${cost.kernels} kernels${cost.skipped ? `, ${cost.skipped} skipped` : ''}` : '';
  }
  for (const radio of document.querySelectorAll('[name=domain]')) radio.checked = radio.value === chosen.domain;
  $('images').value = chosen.images;
  $('seed').value = chosen.seed;
  const at = menu.rates.findIndex((rate) => Math.abs(rate - chosen.lr) < 1e-9);
  if (at >= 0) $('lr').value = at;
  $('rate').textContent = chosen.lr;
  $('lr').setAttribute('aria-valuetext', chosen.lr);
}

const percent = (share) => (100 * share).toFixed(1);
const trained = (request) => (request.trainable.length === menu.groups.length ? 'everything' : request.trainable.join(', '));

function showRun(run) {
  if (!run) return;
  const words = {
    waiting: 'waits for the previous run to stop',
    running: 'is training',
    finished: `reached ${percent(run.accuracy ?? 0)} % of the test images in ${run.seconds.toFixed(1)} s`,
    cancelled: 'was cancelled',
    failed: `failed: ${run.error}`,
  };
  const status = `Run ${run.id} ${words[run.status]}.`;
  // Written only when it changes: a screen reader reads it each time.
  if ($('status').textContent !== status) $('status').textContent = status;
  $('cancel').disabled = over(run);
  const [loss, seen] = [run.losses.at(-1), run.validation.at(-1)];
  $('progress').max = run.cost?.steps ?? 1;
  $('progress').value = run.step;
  $('now').textContent = [
    run.cost && `step ${run.step} of ${run.cost.steps}`,
    loss && `loss ${loss.loss.toFixed(3)}`,
    seen && `validation ${percent(seen.accuracy)} %`,
  ].filter(Boolean).join(', ');
  if (run.cost) showLedger(run.cost);
}

function showLedger({ step, unfrozen }) {
  const row = (name, of, unit) => {
    const saved = 100 * (1 - of(step) / of(unfrozen));
    const cells = [`${unit(of(step))}`, `${unit(of(unfrozen))}`, `${saved.toFixed(0)} %`];
    return element('tr', {}, [element('td', { textContent: name }), ...cells.map((textContent) => element('td', { textContent }))]);
  };
  $('ledger').tBodies[0].replaceChildren(
    row('kernels dispatched', (cost) => cost.kernels, (value) => value),
    row('multiply-accumulates, 10⁶', (cost) => cost.macs, (value) => (value / 1e6).toFixed(0)),
    row('memory kept for backward, KiB', (cost) => cost.kept_bytes, (value) => (value / 1024).toFixed(0)),
  );
}

/** The newest run, and the previous finished one on the same task, dashed. */
function showCurves(run) {
  const before = run && [...runs.values()].findLast((other) => other.id < run.id && other.status === 'finished' && other.task === run.task);
  const series = (of) => [[before, 5, true], [run, 1, false]].filter(([one]) => one).map(([one, color, dashed]) =>
    ({ name: `run ${one.id}: ${trained(one.request)}`, color, dashed, line: true, points: of(one) }));
  const wide = run?.cost?.steps;
  const losses = (one) => one.losses.map(({ step, loss }) => ({ x: step, y: loss }));
  draw($('loss'), { title: 'Training loss', x: 'step', y: 'cross-entropy, nats', low: 0, wide, series: series(losses) });
  const accuracies = (one) => one.validation.map(({ step, accuracy }) => ({ x: step, y: 100 * accuracy }));
  const low = Math.floor(run ? domainOf(run.request.domain).chance : 0);
  draw($('accuracy'), { title: 'Validation accuracy', x: 'step', y: 'accuracy, %', low, high: 100, wide, series: series(accuracies) });
}

const COSTS = {
  macs: ['10⁹ multiply-accumulates', ({ cost }) => cost.steps * cost.step.macs / 1e9],
  kernels: ['kernels dispatched', ({ cost }) => cost.steps * cost.step.kernels],
  seconds: ['seconds of training', ({ seconds }) => seconds],
};

function showScatter() {
  const [unit, cost] = COSTS[$('cost').value];
  const finished = [...runs.values()].filter((run) => run.status === 'finished');
  const sets = new Map();
  for (const run of finished) {
    const name = `${run.task}, ${run.request.images} images`;
    if (!sets.has(name)) sets.set(name, { name, color: sets.size % 6, square: run.request.domain !== menu.domains[0].key, points: [] });
    const title = `run ${run.id}: ${trained(run.request)}, rate ${run.request.lr}: ${percent(run.accuracy)} %`;
    sets.get(name).points.push({ x: cost(run), y: 100 * run.accuracy, label: run.request.trainable.length, title });
  }
  draw($('scatter'), { title: 'Accuracy against cost, all runs so far', x: `cost of a run, ${unit}`, y: 'test accuracy, %', series: [...sets.values()] });
}

function showTable() {
  const rows = [...runs.values()].reverse().map((run) => {
    const { images, lr, seed } = run.request;
    const accuracy = run.accuracy === null ? run.status : percent(run.accuracy);
    const macs = run.cost ? (run.cost.steps * run.cost.step.macs / 1e9).toFixed(1) : '';
    return [run.id, run.task, images, lr, seed, trained(run.request), accuracy, run.seconds.toFixed(1), macs];
  });
  const cells = (row) => row.map((textContent) => element('td', { textContent }));
  $('table').tBodies[0].replaceChildren(...rows.map((row) => element('tr', {}, cells(row))));
}
