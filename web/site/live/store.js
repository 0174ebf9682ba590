// Photos of the reader's classes and the network that was tuned on them in IndexedDB, so that they survive a reload,
// and a few words in localStorage. They stay in this browser.

/** Stores `value` for the next visit, if the browser allows it. */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is blocked or full; the page works without it.
  }
}

/** The value stored under `key`, or null. */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

let opening = null;

function database() {
  opening ??= new Promise((done, failed) => {
    const request = indexedDB.open('frostline', 2);
    request.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) request.result.createObjectStore('photos', { autoIncrement: true });
      request.result.createObjectStore('networks');
    };
    request.onsuccess = () => {
      // Another tab with a later version of the page waits for this.
      request.result.onversionchange = () => request.result.close();
      done(request.result);
    };
    request.onerror = () => failed(request.error);
    request.onblocked = () => failed(new Error('An older version of this page is open in another tab.'));
  });
  return opening;
}

async function within(mode, work, name = 'photos') {
  const transaction = (await database()).transaction(name, mode);
  const answer = work(transaction.objectStore(name));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(answer?.result);
    transaction.onabort = transaction.onerror = () => failed(transaction.error);
  });
}

/** All photos: [{ key, label, blob, from }]; `from` is the address of an example. */
export async function all() {
  const found = [];
  await within('readonly', (store) => {
    store.openCursor().onsuccess = ({ target: { result } }) => {
      if (!result) return;
      found.push({ key: result.key, ...result.value });
      result.continue();
    };
  });
  return found;
}

export const add = (label, blob, from) => within('readwrite', (store) => store.add({ label, blob, from }));
export const remove = (key) => within('readwrite', (store) => store.delete(key));
export const clear = () => within('readwrite', (store) => store.clear());

/** Keeps the network that was tuned on the photos `of`: { of, checkpoint }. There is one; null forgets it. */
export const keepTuned = (tuned) =>
  within('readwrite', (store) => (tuned ? store.put(tuned, 'tuned') : store.delete('tuned')), 'networks');
/** What was kept, or undefined. */
export const tuned = () => within('readonly', (store) => store.get('tuned'), 'networks');
