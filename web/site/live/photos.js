// Photos: the examples that come with the page, dropped or chosen files, and the webcam.

import { button, h } from './common.js';

export const MOST = 600; // Maximum number of photos of all classes: more would fill the memory of a tab.
export const SIDE = 320; // Photos are kept at this size: the network takes 96×96, and the picture is shown small.
const LARGEST = 120; // Maximum millions of pixels of a photo: above, a phone runs out of memory.

/** Classes and addresses of the example photos. */
export async function examples() {
  const answer = await fetch('data/photos.json');
  if (!answer.ok) throw new Error(`The example photos are missing (${answer.status}).`);
  const classes = await answer.json();
  return Object.fromEntries(
    Object.entries(classes).map(([name, files]) => [name, files.map((file) => `assets/photos/${file}`)]),
  );
}

/**
 * A file, blob or video as a small photo: { blob, thumb }, a JPEG of at most SIDE pixels on its shorter side, and a
 * canvas to show. Throws a sentence for people.
 */
export async function small(file) {
  const name = file.name ? `“${file.name}”` : 'The photo';
  const size = file instanceof Blob ? await dimensions(file) : null,
    pixels = size ? (size.width * size.height) / 1e6 : 0;
  if (pixels > LARGEST)
    throw new Error(
      `${name} has ${pixels.toFixed(0)} million pixels. Photos of at most ${LARGEST} million are read; make it smaller.`,
    );
  let bitmap;
  try {
    // A large photo is never in memory at its full size: the browser reduces it during decoding.
    const scale = size ? SIDE / Math.min(size.width, size.height) : 1;
    bitmap = await createImageBitmap(
      file,
      scale < 1 ? { resizeWidth: Math.max(1, Math.round(size.width * scale)), resizeQuality: 'high' } : {},
    );
  } catch {
    throw new Error(`${name} is not an image that this browser can read. JPEG, PNG and WebP work.`);
  }
  const scale = Math.min(1, SIDE / Math.min(bitmap.width, bitmap.height));
  const canvas = h('canvas', {
    width: Math.max(1, Math.round(bitmap.width * scale)),
    height: Math.max(1, Math.round(bitmap.height * scale)),
  });
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.95));
  if (!blob)
    throw new Error(`${name} is too long for its width: ${canvas.width} × ${canvas.height} pixels. Cut it.`);
  return { blob, thumb: thumbnail(canvas, file.name ?? 'photo') };
}

/** Width and height from the head of a JPEG or PNG, so that a large photo is decoded at its small size at once. */
async function dimensions(file) {
  const bytes = new DataView(await file.slice(0, 262144).arrayBuffer());
  if (bytes.byteLength > 24 && bytes.getUint32(0) === 0x89504e47)
    return { width: bytes.getUint32(16), height: bytes.getUint32(20) };
  if (bytes.byteLength < 4 || bytes.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < bytes.byteLength;) {
    const marker = bytes.getUint16(at);
    if (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)) {
      return { width: bytes.getUint16(at + 7), height: bytes.getUint16(at + 5) };
    }
    at += 2 + bytes.getUint16(at + 2);
  }
  return null;
}

// A file that is dropped outside a drop area would open in the tab, and the state of the page would be lost.
for (const kind of ['dragover', 'drop'])
  window.addEventListener(kind, (event) => {
    if (event.dataTransfer?.types.includes('Files')) event.preventDefault();
  });

/** An area to drop or choose files; `take` gets a list of them. */
export function drop(words, take, several = true) {
  const input = h('input', { type: 'file', accept: 'image/*', multiple: several, hidden: true });
  const label = button(words, () => input.click());
  const box = h(
    'div',
    { className: 'drop' },
    label,
    h('span', { className: 'soft' }, several ? 'or drop photos here' : 'or drop one here'),
    input,
  );
  input.onchange = () => {
    take([...input.files]);
    input.value = '';
  };
  box.addEventListener('dragover', (event) => {
    event.preventDefault();
    box.classList.add('over');
  });
  box.addEventListener('dragleave', () => box.classList.remove('over'));
  box.addEventListener('drop', (event) => {
    event.preventDefault();
    box.classList.remove('over');
    take([...event.dataTransfer.files]);
  });
  return box;
}

/** A small square picture of a canvas. */
function thumbnail(bitmap, words) {
  const side = 64,
    canvas = h('canvas', { width: side, height: side, className: 'thumb', role: 'img', 'aria-label': words });
  const cut = Math.min(bitmap.width, bitmap.height);
  canvas
    .getContext('2d')
    .drawImage(bitmap, (bitmap.width - cut) / 2, (bitmap.height - cut) / 2, cut, cut, 0, 0, side, side);
  return canvas;
}

/** The webcam: a button that opens it, and one that takes a photo. `take` gets a small photo. */
export function camera(take, trouble, changed = () => {}) {
  const video = h('video', {
    muted: true,
    playsInline: true,
    hidden: true,
    'aria-label': 'The picture of the camera',
  });
  let stream = null;
  const shot = button('Take a photo', async () => take(await small(video)), { hidden: true });
  const toggle = button('Open the camera', async () => {
    if (stream) {
      close();
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
      video.srcObject = stream;
      await video.play();
      [video.hidden, shot.hidden, toggle.textContent] = [false, false, 'Close the camera'];
      changed(true);
    } catch (error) {
      close();
      trouble(new Error(`The camera cannot be used: ${error.message || error.name}.`));
    }
  });
  function close() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    [stream, video.hidden, shot.hidden, toggle.textContent] = [null, true, true, 'Open the camera'];
    changed(false);
  }
  // The camera is closed on a hidden page.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden && stream) close();
  });
  return {
    node: h('div', { className: 'camera' }, toggle, shot, video),
    video,
    get open() {
      return stream !== null;
    },
  };
}

/** One photo to look at: an example, a file or the webcam. `take` gets a small photo. */
export function chooser(take, trouble) {
  const thumbs = h('div', { className: 'thumbs', role: 'group', 'aria-label': 'Example photos' });
  const box = h(
    'div',
    {},
    thumbs,
    drop('Choose a photo', ([file]) => file && small(file).then(take, trouble), false),
    camera(take, trouble).node,
  );
  const ready = examples().then(async (classes) => {
    for (const [name, [first]] of Object.entries(classes)) {
      const photo = await small(await (await fetch(first)).blob());
      const pick = button('', () => take(photo), { 'aria-label': `Example: ${name}`, className: 'pick' });
      pick.append(photo.thumb);
      thumbs.append(pick);
    }
    return thumbs;
  });
  ready.catch(trouble);
  return { node: box, ready };
}
