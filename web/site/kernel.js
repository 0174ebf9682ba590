// A kernel's WGSL in a dialog: the page of the kernel, at its entry point.

import { set } from './state.js';

let dialog = null;

/** Opens `conv2d.backward_weight`. */
export async function open(name) {
  const [file, entry] = name.split('.');
  const address = `kernel-${encodeURIComponent(file)}.html`;
  dialog ??= make();
  dialog.querySelector('b').textContent = name;
  dialog.querySelector('a').href = `${address}#${entry ?? ''}`;
  const place = dialog.querySelector('div.text');
  place.textContent = 'Loading …';
  if (!dialog.open) dialog.showModal();
  set({ kernel: name });
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const listing = page.querySelector('.listing');
    // The anchors of the listing would be duplicated if two kernels were opened.
    place.replaceChildren(listing);
    const line =
      entry &&
      [...listing.querySelectorAll('.line > a')].find((anchor) => anchor.id === entry)?.parentElement;
    line?.classList.add('here');
    if (line) line.scrollIntoView({ block: 'center' });
    else dialog.scrollTop = 0;
  } catch (error) {
    place.textContent = `There is no kernel ${name} (${error.message}).`;
  }
}

function make() {
  const made = document.createElement('dialog');
  made.setAttribute('aria-label', 'The WGSL of a kernel');
  made.innerHTML =
    '<div class="bar"><p><b></b> <a>Open as a page</a></p><button type="button">Close</button></div><div class="text"></div>';
  made.querySelector('button').onclick = () => made.close();
  made.addEventListener('click', (event) => {
    if (event.target === made) made.close();
  });
  made.addEventListener('close', () => set({ kernel: null }));
  document.body.append(made);
  return made;
}
