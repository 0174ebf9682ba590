// Chapter 7: the explorer, whose runs the engine in this page makes. Runs survive a reload.

import { explore } from '../explorer.js';
import { Part, h } from './common.js';
import { recall, remember } from './store.js';

const KEPT = 'explorer'; // In localStorage.
const MOST = 60; // Runs that are kept for the next visit.
const EVALUATIONS = 2; // Of a run after its start: a browser is slow at them.
const TESTED = 200; // Held-out images.

export async function begin(place) {
  const part = new Part(place);
  const answer = await fetch('data/explorer.json');
  if (!answer.ok) throw new Error(`The choices of the explorer are missing (${answer.status}).`);
  const menu = await answer.json();
  const box = h('div', {});
  place.append(
    h('link', { rel: 'stylesheet', href: 'explorer.css' }),
    part.status,
    part.trouble,
    box,
    h(
      'p',
      { className: 'soft' },
      'A run here has one seed. The published figure has five, and shows which differences are more than chance.',
    ),
  );
  explore(box, new Board(part, menu));
}

/** The runs, of which the newest may be training. */
class Board {
  constructor(part, menu) {
    [this.part, this.menu] = [part, menu];
    this.runs = stored();
    this.turn = Promise.resolve(); // A run begins when the one before has stopped.
    this.training = null;
  }

  listen(page) {
    this.page = page;
    page.state({ menu: this.menu, runs: this.runs });
  }

  async run(request) {
    if (!request.trainable.length)
      throw new Error(
        'Not possible: everything is frozen, so nothing would be learned: let at least one layer group train.',
      );
    this.cancel();
    const { task } = this.menu.domains.find(({ key }) => key === request.domain);
    const id = (this.runs.at(-1)?.id ?? 0) + 1;
    const run = {
      id,
      status: 'waiting',
      request,
      task,
      cost: null,
      step: 0,
      seconds: 0,
      losses: [],
      validation: [],
      accuracy: null,
      error: null,
    };
    this.runs.push(run);
    this.page.run(run);
    this.turn = this.turn.then(() => this.train(run));
    return { run: id };
  }

  async cancel() {
    const last = this.runs.at(-1);
    if (!last || !['waiting', 'running'].includes(last.status)) return;
    this.change(last, { status: 'cancelled' });
    await this.training?.stop();
  }

  change(run, values) {
    Object.assign(run, values);
    this.page.run(run);
  }

  async train(run) {
    if (run.status !== 'waiting') return;
    const { request } = run;
    const stages = request.trainable.flatMap((group) => group.split('+'));
    const { steps } = this.menu;
    const settings = {
      data: request.domain === 'similar' ? 'fashion' : 'digits',
      network: 'fashion',
      trainable: stages,
      images: request.images,
      rate: request.lr,
      seed: request.seed,
      batch: this.menu.batch,
      steps,
      readEvery: 5,
      evaluateEvery: Math.ceil(steps / EVALUATIONS),
      evaluateOn: TESTED,
    };
    const going = () => run.status === 'running';
    const told = (event) => {
      if (event.type === 'plan') run.cost = this.cost(event.plan, steps);
      if (!going()) return;
      if (event.type === 'step') {
        const sum = event.losses.reduce((sum, { loss }) => sum + loss, 0);
        run.losses.push({ step: event.step, loss: sum / event.losses.length });
        run.seconds += (event.milliseconds * event.losses.length) / 1000;
        run.step = event.step;
      }
      if (event.type === 'accuracy') {
        const { step, accuracy, loss } = event;
        run.validation.push({ step, seconds: run.seconds, accuracy, loss });
      }
      this.page.run(run);
    };
    const training = await this.part.attempt(() => this.part.train(settings, told));
    if (run.status === 'waiting')
      this.change(run, training ? { status: 'running' } : { status: 'failed', error: 'it could not begin' });
    if (!training) return;
    this.training = training;
    if (!going())
      training.stop().catch(() => {}); // Cancelled while it was compiled.
    else this.part.say('');
    const end = await training.finished.catch((error) => ({ error }));
    this.training = null;
    training.close().catch(() => {});
    if (!going()) return;
    if (end.error) this.change(run, { status: 'failed', error: end.error.message });
    else this.change(run, { status: 'finished', accuracy: end.accuracy });
    this.keep();
  }

  /** What a run costs, from its plan. */
  cost(plan, steps) {
    const step = ({ dispatches, macs, keptBytes }) => ({ kernels: dispatches, macs, kept_bytes: keptBytes });
    const groups = this.menu.groups.map((name) => {
      const mine = plan.stages.filter((stage) => name.split('+').includes(stage.name));
      const sum = (field) => mine.reduce((sum, stage) => sum + stage[field], 0);
      return { name, kernels: sum('kernels'), skipped: sum('skipped'), kept_bytes: sum('keptBytes') };
    });
    return { steps, batch: plan.batch, step: step(plan.ledger), unfrozen: step(plan.unfrozen), groups };
  }

  keep() {
    const finished = this.runs.filter(({ status }) => status === 'finished');
    remember(KEPT, JSON.stringify(finished.slice(-MOST)));
  }
}

function stored() {
  try {
    const runs = JSON.parse(recall(KEPT));
    return Array.isArray(runs) ? runs : [];
  } catch {
    return [];
  }
}
