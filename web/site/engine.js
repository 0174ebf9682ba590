// The engine for pages: an ES module. `web/README.md` describes it. All work is in a worker, so that a page
// never waits for the device.

/** An error with a message for people and a kind for pages. */
export class EngineError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = 'EngineError';
    this.kind = kind;
  }
}

/** Opens the engine: a worker with a device. Rejects with an EngineError. */
export async function openEngine({ assets = './assets/', kernels = 'fitting', onCompile } = {}) {
  if (typeof Worker === 'undefined' || typeof WebAssembly === 'undefined') {
    throw new EngineError('no-webgpu', 'this browser has no workers or no WebAssembly, which the engine needs');
  }
  if (!navigator.gpu) {
    const why = globalThis.isSecureContext === false
      ? 'this page was not loaded over https or from this machine, and browsers offer WebGPU only then'
      : 'this browser has no WebGPU. Chrome and Edge 113, Safari 26 and Firefox 141 have it, or later ones';
    throw new EngineError('no-webgpu', why);
  }
  const link = new Link(new URL('./engine-worker.js', import.meta.url), onCompile);
  const opened = await link.call('open', { kernels, assets: new URL(assets, document.baseURI).href }).catch((error) => {
    link.close();
    throw error;
  });
  return new Engine(link, opened);
}

/** Calls with numbers, and the answers and events of the worker. */
class Link {
  constructor(url, onCompile) {
    this.worker = new Worker(url, { type: 'module' });
    this.waiting = new Map();
    this.listeners = new Map();
    this.onCompile = onCompile;
    this.last = 0;
    this.lost = new Promise((resolve) => { this.lose = resolve; });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.fail(new EngineError('internal', `the engine's worker failed: ${event.message || 'it could not be loaded'}`));
    };
  }

  receive({ id, result, error, event, about }) {
    if (event) {
      if (event.type === 'compile') this.onCompile?.(event);
      if (event.type === 'lost') this.lose(new EngineError('device-lost', event.message));
      this.listeners.get(about)?.(event);
      return;
    }
    const call = this.waiting.get(id);
    this.waiting.delete(id);
    if (!call) return;
    if (error) call.reject(new EngineError(error.kind, error.message));
    else call.resolve(result);
  }

  call(name, args = {}, onEvent = null) {
    if (this.ended) return Promise.reject(this.ended);
    const id = ++this.last;
    if (onEvent) this.listeners.set(id, onEvent);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      try {
        this.worker.postMessage({ id, name, args });
      } catch (error) {
        this.waiting.delete(id);
        reject(new EngineError('input', `${name}: ${error.message}`));
      }
    });
  }

  fail(error) {
    this.ended ??= error;
    for (const call of this.waiting.values()) call.reject(error);
    this.waiting.clear();
    this.listeners.clear();
  }

  close() {
    this.worker.terminate();
    this.fail(new EngineError('closed', 'the engine was closed'));
  }
}

/** Options in which the networks of this page are their ids. */
function named(options) {
  const id = (value) => (value instanceof Network ? value.id : value);
  return options && { ...options, ...('network' in options && { network: id(options.network) }), ...('start' in options && { start: id(options.start) }) };
}

class Engine {
  #link;

  constructor(link, { adapter, kernels }) {
    this.#link = link;
    this.adapter = adapter;
    this.kernels = kernels;
    /** Resolves to an EngineError once the device is lost. */
    this.lost = link.lost;
  }

  network(network) { return this.#link.call('network', named({ network })); }
  data(name) { return this.#link.call('data', { name }); }
  async load(file) { return new Loaded(this.#link, await this.#link.call('load', { file })); }
  plan(options) { return this.#link.call('plan', named(options)); }
  source(kernel) { return this.#link.call('source', { kernel }); }
  activations(image, options) { return this.#link.call('activations', { image, ...named(options) }); }
  filters(network) { return this.#link.call('filters', named({ network })); }
  excite(image, options) { return this.#link.call('excite', { image, ...named(options) }); }
  features(images, options) { return this.#link.call('features', { images, ...named(options) }); }
  predict(image, options) { return this.#link.call('predict', { image, ...named(options) }); }
  probe(options) { return this.#link.call('probe', options); }
  augment(image, seed, options = {}) { return this.#link.call('augment', { image, seed, options }); }
  selfTest(onResult = () => {}) { return this.#link.call('selfTest', {}, (event) => onResult(event.check)); }

  /** Starts a run; resolves once it is planned and compiled. */
  async train(options, onEvent = () => {}) {
    let finish, fail;
    const finished = new Promise((resolve, reject) => { finish = resolve; fail = reject; });
    finished.catch(() => {}); // A page need not wait for the end.
    const id = await this.#link.call('train', named(options), (event) => {
      if (event.type === 'end') {
        if (event.error) fail(new EngineError(event.error.kind, event.error.message));
        else finish(event.result);
      } else onEvent(event);
    });
    return new Run(this.#link, id, finished);
  }

  /** Destroys the device, as a driver reset would: for tests. */
  loseDevice() { return this.#link.call('loseDevice'); }

  /** Ends the worker and frees the device. */
  close() { this.#link.close(); }
}

/** A network of this page. */
class Network {
  #link;

  constructor(link, id) {
    this.#link = link;
    this.id = id;
  }

  checkpoint() { return this.#link.call('checkpoint', { network: this.id }); }
  onnx() { return this.#link.call('onnx', { network: this.id }); }
  close() { return this.#link.call('close', { network: this.id }); }
}

/** The network of a checkpoint. */
class Loaded extends Network {
  constructor(link, { id, ...described }) {
    super(link, id);
    Object.assign(this, described);
  }
}

class Run extends Network {
  #link;

  constructor(link, id, finished) {
    super(link, id);
    this.#link = link;
    /** Resolves to { steps, accuracy, reason } at the end of the run. */
    this.finished = finished;
  }

  setFreezeBelow(stage) { return this.#link.call('setFreezeBelow', { run: this.id, stage }); }
  setRate(rate) { return this.#link.call('setRate', { run: this.id, rate }); }
  setPerClass(perClass) { return this.#link.call('setPerClass', { run: this.id, perClass }); }
  pause() { return this.#link.call('pause', { run: this.id }); }
  resume() { return this.#link.call('resume', { run: this.id }); }
  stop() { return this.#link.call('stop', { run: this.id }); }
}
