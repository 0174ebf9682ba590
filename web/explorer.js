// The explorer: choices of what trains, and the runs so far. A `source` trains and keeps the board of runs:
//
//   source.listen({ state, run, trouble })   state({ menu, runs }) first, run(record) after every change of a run
//   source.run(request)                      { run: its number }; throws an error whose message is for people
//   source.cancel()                          stops the run that trains
//
// `explorer-server.js` is a program on this machine, `site/live/ch7.js` the engine in this page.

import { draw } from './charts.js';

const SETTLE_MS = 350; // A slider passes many values before the intended one.

const page = (h) => `
  <p id="machine" class="quiet">Waiting for the explorer …</p>
  <p id="alert" class="alert" role="alert" hidden></p>

  <section aria-labelledby="choose">
    <${h} id="choose">Choose</${h}>
    <fieldset>
      <legend>The lesson’s scenarios</legend>
      <div id="scenarios" class="row"></div>
      <p id="advice" class="quiet" aria-live="polite"></p>
    </fieldset>
    <fieldset>
      <legend>Layer groups, from the image to the output: press to freeze or to train</legend>
      <div id="groups"></div>
    </fieldset>
    <fieldset>
      <legend>Target domain</legend>
      <div id="domains" class="row"></div>
    </fieldset>
    <div class="row">
      <label>Training images <select id="images"></select></label>
      <label>Seed <select id="seed"></select></label>
      <div class="wide"><label for="lr">Learning rate</label> <output id="rate" for="lr"></output>
        <input id="lr" type="range" min="0" step="1">
      </div>
    </div>
    <div class="row">
      <button type="button" id="again">Run</button>
      <button type="button" id="sweep">Try every depth</button>
      <button type="button" id="cancel" disabled>Cancel</button>
    </div>
  </section>

  <section aria-labelledby="watch">
    <${h} id="watch">Watch</${h}>
    <p id="status" role="status">No run yet: change something.</p>
    <div class="now"><progress id="progress" max="1" value="0" aria-label="steps of this run"></progress> <span id="now"></span></div>
    <figure><div id="loss"></div></figure>
    <figure><div id="accuracy"></div></figure>
  </section>

  <section aria-labelledby="compare">
    <${h} id="compare">Compare</${h}>
    <label>Cost <select id="cost">
      <option value="macs">multiply-accumulates (10⁹)</option>
      <option value="kernels">kernels dispatched</option>
      <option value="seconds">seconds of training</option>
    </select></label>
    <figure><div id="scatter"></div></figure>
    <p class="quiet">The number at a mark is the number of layer groups that trained.</p>
  </section>

  <section aria-labelledby="save">
    <${h} id="save">What freezing saves</${h}>
    <div class="scroll" tabindex="0" role="region" aria-label="what a training step costs">
    <table id="ledger">
      <thead><tr><th scope="col">a training step</th><th scope="col">this run</th><th scope="col">nothing frozen</th><th scope="col">saved</th></tr></thead>
      <tbody></tbody>
    </table></div>
  </section>

  <section class="all" aria-labelledby="runs">
    <${h} id="runs">Runs so far</${h}>
    <div class="scroll" tabindex="0" role="region" aria-label="runs so far">
    <table id="table">
      <thead><tr><th scope="col">run</th><th scope="col">task</th><th scope="col">images</th><th scope="col">rate</th><th scope="col">seed</th>
        <th scope="col">trains</th><th scope="col">accuracy, %</th><th scope="col">s</th><th scope="col">GMAC</th></tr></thead>
      <tbody></tbody>
    </table></div>
  </section>
`;

/** Puts the explorer into `place`. */
export function explore(place, source) {
  const h = place.closest('.live') ? 'h3' : 'h2';
  place.classList.add('explorer');
  place.innerHTML = page(h);
  const $ = (id) => place.querySelector(`#${id}`);

  let menu = null;
  let runs = new Map(); // By number, oldest first.
  let chosen = null; // {trainable, domain, images, lr, seed}
  let queue = []; // Requests of a sweep that are not sent yet.
  let swept = null; // The number of the sweep's current run.
  let timer = null;

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
      source.cancel().catch((error) => complain(error.message));
    };
    $('cost').onchange = show;
    new ResizeObserver(show).observe(place);
  }

  /** Applies `changes`, and requests a run when nothing has changed for a moment. */
  function change(changes, settle = SETTLE_MS) {
    stopSweep();
    chosen = { ...chosen, ...changes };
    showChosen();
    timer = setTimeout(() => ask(chosen), settle);
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
    const number = await ask(next);
    if (number === null || rest !== queue) return;
    swept = number;
    // Its last event may have arrived before the answer.
    const run = runs.get(swept);
    if (run && over(run)) sweepOn(run);
  }

  /** The number of a new run, or null. */
  async function ask(request) {
    try {
      const { run } = await source.run(request);
      complain('');
      return run;
    } catch (error) {
      complain(error.message);
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
    for (const radio of place.querySelectorAll('[name=domain]')) radio.checked = radio.value === chosen.domain;
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

  source.listen({
    state(state) {
      const first = menu === null;
      menu = state.menu;
      runs = new Map(state.runs.map((run) => [run.id, run]));
      if (first) begin();
      complain('');
      show();
    },
    run(run) {
      runs.set(run.id, run);
      for (const id of runs.keys()) if (id + menu.kept_runs <= run.id) runs.delete(id);
      show();
      if (run.id === swept && over(run)) sweepOn(run);
    },
    trouble: complain,
  });
}
