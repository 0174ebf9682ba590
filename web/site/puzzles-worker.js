// Marks kernels that a reader writes. It has a separate device, so that a faulty kernel does not end a run.

import init, { Marker } from './pkg/frostline_web_puzzles.js';

const ready = init({ module_or_path: new URL('./pkg/frostline_web_puzzles_bg.wasm', import.meta.url) });
let marker = null;

const calls = {
  list: () => Marker.puzzles(),
  async mark({ name, text, seed }) {
    marker ??= await Marker.open();
    return marker.mark(name, text, seed);
  },
};

onmessage = async ({ data: { id, call, args } }) => {
  try {
    await ready;
    postMessage({ id, result: JSON.parse(await calls[call](args)) });
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error) });
  }
};
